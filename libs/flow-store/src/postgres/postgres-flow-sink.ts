import { once } from 'node:events';
import { DomainError } from '@palisade/errors';
import { OTHER_PARTY, totalLost, type FlowBatch, type FlowLosses } from '@palisade/flow';
import type { FlowAppendOutcome, FlowSink, SentFlowBatch } from '@palisade/control';
import type { Pool, PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { CopyBuffer, uuidBytes } from './copy-buffer.ts';
import { EdgeSums, type EdgePart } from './edge-sums.ts';
import { insertEdgeParts } from './edge-statements.ts';
import { appendRow, FLOW_COPY_COLUMNS, type CopySource, type DictionaryIds } from './flow-copy.ts';
import { FlowDictionary } from './flow-dictionary.ts';
import { DICTIONARY_NAMES, DICTIONARY_TABLES, dictionaryEntries, partyEntry, type DictionaryName } from './flow-tables.ts';
import { PartitionDays } from './partition-days.ts';
import { inTransaction, setTenant } from './tenant-transaction.ts';

interface Prepared {
  readonly sent: SentFlowBatch;
  readonly ids: DictionaryIds;
  /** Peer index → id of its party. The last one stands for the parties beyond the cap. */
  readonly parties: Int32Array;
  /** Rows that fall on a day that has a partition, by day. */
  readonly days: ReadonlyMap<number, readonly number[]>;
  readonly rows: number;
  readonly losses: FlowLosses;
}

interface LedgerRow {
  readonly node_id: string;
  readonly boot_id: string;
  readonly seq: string;
  readonly batch_id: string;
}

const DAY_US = 86_400_000_000;
/** Distinct edges of a tenant in one commit. */
const EDGE_CAP = 10_000;

function keyOf(node: string, boot: string, seq: number | string): string {
  return `${node} ${boot} ${seq}`;
}

function ledgerKey({ sender, batch }: SentFlowBatch): string {
  return keyOf(sender.nodeId, batch.bootId, batch.seq);
}

/**
 * Stores batches in PostgreSQL as the ingest role: ledger rows, then COPY into the day's leaf partition, one commit for
 * all of them. Dictionary entries are committed before, on their own.
 */
export class PostgresFlowSink implements FlowSink {
  readonly #pool: Pool;
  readonly #dictionaries: Readonly<Record<DictionaryName, FlowDictionary>>;
  readonly #days: PartitionDays;

  /** @param pool connections of the ingest role */
  constructor(pool: Pool) {
    this.#pool = pool;
    this.#days = new PartitionDays(pool);
    this.#dictionaries = Object.fromEntries(
      DICTIONARY_NAMES.map((name) => [name, new FlowDictionary(pool, DICTIONARY_TABLES[name])]),
    ) as unknown as Record<DictionaryName, FlowDictionary>;
  }

  async append(batches: readonly SentFlowBatch[]): Promise<readonly FlowAppendOutcome[]> {
    try {
      const days = await this.#days.known();
      const prepared: Prepared[] = [];
      for (const sent of batches) prepared.push(await this.#prepare(sent, days));
      return await inTransaction(this.#pool, 'BEGIN', (client) => this.#store(client, prepared));
    } catch (error) {
      this.#days.forget();
      throw classify(error);
    }
  }

  async #prepare(sent: SentFlowBatch, days: ReadonlySet<number>): Promise<Prepared> {
    const { sender, batch } = sent;
    const entries = dictionaryEntries(sender, batch.columns);
    const ids = {} as Record<DictionaryName, Int32Array>;
    for (const name of DICTIONARY_NAMES) {
      ids[name] = entries[name].length === 0 ? new Int32Array() : await this.#dictionaries[name].ids(sender.tenantId, entries[name]);
    }
    const parties = await this.#dictionaries.peers.ids(sender.tenantId, [...batch.columns.peers, OTHER_PARTY].map(partyEntry));
    return { sent, ids, parties, ...partitioned(sent, days) };
  }

  async #store(client: PoolClient, prepared: readonly Prepared[]): Promise<FlowAppendOutcome[]> {
    const stored = new Map<string, number>();
    let current = '';
    // Round trips are what a commit waits for: most commits hold one tenant.
    const become = async (tenantId: string): Promise<void> => {
      if (tenantId !== current) await setTenant(client, tenantId);
      current = tenantId;
    };
    for (const [tenantId, own] of byTenant(prepared)) {
      await become(tenantId);
      for (const row of await insertLedger(client, tenantId, own)) stored.set(tenantId + keyOf(row.node_id, row.boot_id, row.seq), Number(row.batch_id));
    }
    const fresh: Prepared[] = [];
    const sources: (CopySource & Pick<Prepared, 'days'>)[] = [];
    const outcomes = prepared.map((one): FlowAppendOutcome => {
      const key = one.sent.sender.tenantId + ledgerKey(one.sent);
      const batchId = stored.get(key);
      if (batchId === undefined) return { kind: 'duplicate' };
      // The same batch twice in one commit: the second one is a duplicate.
      stored.delete(key);
      fresh.push(one);
      sources.push({ tenant: uuidBytes(one.sent.sender.tenantId), batchId, columns: one.sent.batch.columns, ids: one.ids, days: one.days });
      return { kind: 'stored', rows: one.rows };
    });
    for (const day of new Set(sources.flatMap((source) => [...source.days.keys()]))) await copyDay(client, day, sources);
    for (const [tenantId, own] of byTenant(fresh)) {
      await become(tenantId);
      await insertEdgeParts(client, tenantId, sumEdges(own));
    }
    return outcomes;
  }
}

function byTenant(prepared: readonly Prepared[]): Map<string, Prepared[]> {
  return Map.groupBy(prepared, (one) => one.sent.sender.tenantId);
}

/** Rows by day. Those outside every partition cannot be stored: they are counted as lost, with the reason. */
function partitioned({ batch }: SentFlowBatch, known: ReadonlySet<number>): Pick<Prepared, 'days' | 'rows' | 'losses'> {
  const { columns, account } = batch;
  const days = new Map<number, number[]>();
  let outside = 0;
  for (let row = 0; row < columns.rows; row++) {
    const day = Math.floor((columns.lastSeenUs[row] ?? 0) / DAY_US);
    const rows = days.get(day);
    if (rows !== undefined) rows.push(row);
    else if (known.has(day)) days.set(day, [row]);
    else outside += columns.weight[row] ?? 1;
  }
  const rows = [...days.values()].reduce((sum, own) => sum + own.length, 0);
  const losses = outside === 0 ? account.dropped : { ...account.dropped, 'outside-retention': (account.dropped['outside-retention'] ?? 0) + outside };
  return { days, rows, losses };
}

/** From the rows themselves: readers rely on it to find them, and the header is only what the agent says. */
function seenWindow({ columns, windowStartUs, windowEndUs }: FlowBatch): { window_start: number; window_end: number } {
  if (columns.rows === 0) return { window_start: Math.min(windowStartUs, windowEndUs), window_end: windowEndUs };
  return { window_start: columns.lastSeenUs.reduce((least, us) => Math.min(least, us)), window_end: columns.lastSeenUs.reduce((most, us) => Math.max(most, us)) };
}

/** @returns the rows that are new; what is absent was committed before */
async function insertLedger(client: PoolClient, tenantId: string, prepared: readonly Prepared[]): Promise<readonly LedgerRow[]> {
  const rows = prepared.map(({ sent: { sender, batch }, rows: count, losses }) => ({
    node_id: sender.nodeId, boot_id: batch.bootId, seq: batch.seq, cluster_id: sender.clusterId, rows: count,
    ...seenWindow(batch), seen: batch.account.seen, sampled: batch.account.sampled,
    losses: totalLost(losses) === 0 ? {} : losses, incomplete: totalLost(losses) > 0 || batch.account.sampled > 0,
  }));
  const result = await client.query<LedgerRow>({
    name: 'flow-ledger',
    text: `INSERT INTO palisade.flow_batch (tenant_id, node_id, boot_id, seq, cluster_id, "rows", window_start, window_end, seen, sampled, losses, incomplete)
      SELECT $1, b.node_id, b.boot_id, b.seq, b.cluster_id, b."rows",
        timestamptz 'epoch' + b.window_start * interval '1 microsecond', timestamptz 'epoch' + b.window_end * interval '1 microsecond',
        b.seen, b.sampled, b.losses, b.incomplete
      FROM jsonb_to_recordset($2::jsonb) AS b(node_id uuid, boot_id uuid, seq bigint, cluster_id uuid, "rows" integer,
        window_start bigint, window_end bigint, seen bigint, sampled bigint, losses jsonb, incomplete boolean)
      ORDER BY b.node_id, b.boot_id, b.seq
      ON CONFLICT DO NOTHING RETURNING node_id, boot_id, seq, batch_id`,
    values: [tenantId, JSON.stringify(rows)],
  });
  return result.rows;
}

async function copyDay(client: PoolClient, day: number, sources: readonly (CopySource & Pick<Prepared, 'days'>)[]): Promise<void> {
  const copy = new CopyBuffer();
  for (const source of sources) for (const row of source.days.get(day) ?? []) appendRow(copy, source, row);
  const name = new Date(day * 86_400_000).toISOString().slice(0, 10).replaceAll('-', '');
  const stream = client.query(copyFrom(`COPY palisade.flow_${name} (${FLOW_COPY_COLUMNS.join(', ')}) FROM STDIN (FORMAT binary)`));
  stream.end(copy.finish());
  await once(stream, 'finish');
}

function sumEdges(prepared: readonly Prepared[]): readonly EdgePart[] {
  const sums = new EdgeSums(EDGE_CAP, prepared[0]?.parties.at(-1) ?? 0);
  for (const { sent, ids, parties, days } of prepared) {
    const source = { clusterId: sent.sender.clusterId, columns: sent.batch.columns, parties, policySets: ids.policySets };
    for (const rows of days.values()) sums.add(source, rows);
  }
  return sums.parts;
}

/** Data that PostgreSQL will never take is the sender's fault; everything else passes. */
function classify(error: unknown): unknown {
  const code = (error as { code?: unknown }).code;
  if (error instanceof DomainError || typeof code !== 'string' || !/^(22|23)/.test(code)) return error;
  return new DomainError('request.invalid', `The database cannot hold this batch: ${(error as Error).message}`, { cause: error });
}
