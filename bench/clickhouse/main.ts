/**
 * `npm run bench:clickhouse -- [--quick] [--rows N] [--json]`: the same traffic and questions as `bench:flows`, with the
 * ClickHouse store on the engine that `npm run test:clickhouse` brings (one process, one statement at a time), data on disk;
 * the ledger in a durable PostgreSQL. About five minutes, `--quick` one.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { clickHouseFlowKeeping, clickHouseFlowReaders, clickHouseFlowSink } from '@palisade/flow-store';
import pg from 'pg';
import { bringEngine } from '../../tools/clickhouse/bring-engine.ts';
import { startEngine } from '../../tools/clickhouse/engine.ts';
import { startBenchServer } from '../flows/database.ts';
import { measureQueries } from '../flows/query-latencies.ts';
import { bytesPerRow, fillClickHouseDay } from './clickhouse-day.ts';
import { measureClickHouseIngest } from './clickhouse-ingest.ts';

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false }, rows: { type: 'string' } } });
const { quick } = values;
const rows = Number(values.rows ?? (quick ? 1_000_000 : 10_000_000));
const BURST = { agents: 20, batchesPerAgent: 2, rowsPerBatch: 5_000, rounds: quick ? 3 : 15 };
/** Those of the PostgreSQL store. */
const TARGETS = { drops_1h_p95_ms: 50, map_24h_p95_ms: 300, list_p95_ms: 200 } as const;

await bringEngine();
const folder = mkdtempSync(join(tmpdir(), 'bench-clickhouse-'));
const engine = await startEngine(folder);
const server = await startBenchServer();
const stop = (): Promise<unknown> => Promise.allSettled([engine.stop(), server.stop()]).finally(() => rmSync(folder, { recursive: true, force: true }));
// A run that is told to end leaves no process and no folder behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stop().finally(() => process.exit(1)));
try {
  const ledger = await server.database('bench_ledger');
  const pools = { ingest: new pg.Pool({ connectionString: ledger.ingestUrl, max: 4 }), worker: new pg.Pool({ connectionString: ledger.workerUrl, max: 2 }), api: new pg.Pool({ connectionString: ledger.apiUrl, max: 2 }) };
  for (const pool of Object.values(pools)) pool.on('error', () => undefined);
  const address = { url: engine.url, database: 'bench' };
  const keeping = await clickHouseFlowKeeping(address, pools.worker);
  await keeping.keeping.prepare(1);
  await keeping.close();
  const sink = await clickHouseFlowSink(address, { ledger: pools.ingest, spoolDir: join(folder, 'spool'), onFailure: (error) => console.error(error) });
  const rates = await measureClickHouseIngest(server, sink, engine.pid, BURST);
  await sink.close();
  const filled = await fillClickHouseDay(engine.url, address.database, rows);
  const bytes = await bytesPerRow(engine.url, address.database);
  const readers = await clickHouseFlowReaders(address, pools.api);
  const latencies = await measureQueries(readers, filled, quick ? 8 : 40);
  await readers.close();
  for (const pool of Object.values(pools)) await pool.end();
  for (const { filter, medianMs, worstMs, flows } of latencies.lists) console.error(`list ${filter}: median ${medianMs.toFixed(0)} ms, slowest ${worstMs.toFixed(0)} ms, ${flows} flows on the first page`);
  const { drops_1h_p95_ms, map_24h_p95_ms, list_p95_ms } = latencies;
  const figures: Readonly<Record<string, number>> = { ...rates, bytes_per_row: bytes, rows: filled, drops_1h_p95_ms, map_24h_p95_ms, list_p95_ms };
  if (!values.json) for (const [name, value] of Object.entries(figures)) console.log(`${name.padEnd(26)} ${value.toFixed(2).padStart(12)}`);
  const ok = (Object.keys(TARGETS) as (keyof typeof TARGETS)[]).every((name) => latencies[name] <= TARGETS[name]);
  console.log(JSON.stringify({ bench: 'clickhouse', figures: Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Number(value.toFixed(3))])), ok }));
} finally {
  await stop();
}
