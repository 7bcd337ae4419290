/** A day of flows in ClickHouse, made of what was ingested. */

/** Asks the engine over HTTP, past the store: for what only the benchmark wants. */
async function ask(url: string, sql: string): Promise<string> {
  const response = await fetch(url, { method: 'POST', body: sql });
  const text = await response.text();
  if (!response.ok) throw new Error(`ClickHouse refused: ${text}`);
  return text.trim();
}

const SEED_ROWS = 200_000;

/** Multiplies what was stored until there are `rows`, spread evenly over the last 24 hours, and the sums by hour. @returns rows */
export async function fillClickHouseDay(url: string, database: string, rows: number): Promise<number> {
  const count = async (): Promise<number> => Number(await ask(url, `SELECT count() FROM ${database}.flow`));
  const stored = await count();
  const columns = (await ask(url, `SELECT name FROM system.columns WHERE database = '${database}' AND table = 'flow' ORDER BY position`)).split('\n').filter((name) => name !== 'last_seen_us' && name !== 'batch_id');
  const copies = Math.max(0, Math.ceil((rows - stored) / Math.min(stored, SEED_ROWS)));
  for (let copy = 0; copy < copies; copy++) {
    await ask(url, `INSERT INTO ${database}.flow (last_seen_us, batch_id, ${columns.join(', ')})
      SELECT toUInt64(toUnixTimestamp64Micro(now64(6)) - (${copies - 1 - copy} + rand() / 4294967296) / ${copies} * 86400000000), ${1_000_000 + copy}, ${columns.join(', ')} FROM ${database}.flow WHERE batch_id < 1000000 LIMIT ${SEED_ROWS}`);
  }
  for (const table of ['flow_edge_hour', 'flow_http_hour']) {
    await ask(url, `INSERT INTO ${database}.${table} SELECT * REPLACE (bucket - INTERVAL hour HOUR AS bucket) FROM ${database}.${table} CROSS JOIN (SELECT toUInt32(number + 1) AS hour FROM numbers(23)) AS hours`.replace('SELECT *', 'SELECT * EXCEPT (hour)'));
  }
  return count();
}

/** Bytes of a flow on disk, compressed, in all parts that are in use. */
export async function bytesPerRow(url: string, database: string): Promise<number> {
  const [bytes = '0', rows = '1'] = (await ask(url, `SELECT sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active AND database = '${database}' AND table = 'flow'`)).split('\t');
  return Number(bytes) / Number(rows);
}
