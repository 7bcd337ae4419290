import { once } from 'node:events';
import { DomainError } from '@palisade/errors';
import { totalLost, type FlowBatch, type FlowLosses } from '@palisade/flow';
import type { FlowAppendOutcome, FlowSink, SentFlowBatch } from '@palisade/control';
import type { Pool, PoolClient } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { FoldedEdges } from '../folded-edges.ts';
import { EdgeSums } from './edge-sums.ts';
import { insertEdgeParts } from './edge-statements.ts';
import { copyChunks, copyColumns, uuidWords, type CopySource } from './flow-copy.ts';
import { copyParts, type CopyPart } from './flow-copy-parts.ts';
import { FlowNames, type BatchNames } from './flow-names.ts';
import { PartitionDays } from './partition-days.ts';
import { beginAs, inTransaction, setTenant } from './tenant-transaction.ts';

/** Rows of one day; absent: all of the batch. */
type DayRows = Uint16Array | undefined;

interface Prepared extends BatchNames {
  readonly sent: SentFlowBatch;
  /** Rows that fall on a day that has a partition, by day. */
  readonly days: ReadonlyMap<number, DayRows>;
  readonly rows: number;
  readonly losses: FlowLosses;
  /** Of the rows themselves: readers rely on it to find them, and the header is only what the agent says. */
  readonly window: { readonly startUs: number; readonly endUs: number };
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
  readonly #names: FlowNames;
  readonly #days: PartitionDays;
  readonly #folded = new FoldedEdges();

  /** @param pool connections of the ingest role */
  constructor(pool: Pool) {
    this.#pool = pool;
    this.#days = new PartitionDays(pool);
    this.#names = new FlowNames(pool);
  }

  /** What was summed up as `other` since start, because a tenant had more edges than one commit tells apart. */
  get folded(): FoldedEdges {
    return this.#folded;
  }

  async append(batches: readonly SentFlowBatch[]): Promise<readonly FlowAppendOutcome[]> {
    try {
      const days = await this.#days.known();
      const names = await this.#names.resolve(batches);
      const prepared = batches.map((sent, index) => ({ sent, ...(names[index] as BatchNames), ...partitioned(sent.batch, days) }));
      const first = batches[0]?.sender.tenantId;
      if (first === undefined) return [];
      const { outcomes, folded } = await inTransaction(this.#pool, beginAs(first), (client) => store(client, first, prepared));
      for (const one of folded) this.#folded.merge(one);
      return outcomes;
    } catch (error) {
      this.#days.forget();
      throw classify(error);
    }
  }
}

async function store(client: PoolClient, first: string, prepared: readonly Prepared[]): Promise<{ readonly outcomes: FlowAppendOutcome[]; readonly folded: FoldedEdges[] }> {
  const stored = new Map<string, number>();
  let current = first;
  // Round trips are what a commit waits for: most commits hold one tenant.
  const become = async (tenantId: string): Promise<void> => {
    if (tenantId !== current) await setTenant(client, tenantId);
    current = tenantId;
  };
  for (const [tenantId, own] of byTenant(prepared)) {
    await become(tenantId);
    for (const row of await insertLedger(client, tenantId, own)) stored.set(tenantId + keyOf(row.node_id, row.boot_id, row.seq), Number(row.batch_id));
  }
  const fresh: (Prepared & { readonly batchId: number })[] = [];
  const outcomes = prepared.map((one): FlowAppendOutcome => {
    const key = one.sent.sender.tenantId + ledgerKey(one.sent);
    const batchId = stored.get(key);
    if (batchId === undefined) return { kind: 'duplicate' };
    // The same batch twice in one commit: the second one is a duplicate.
    stored.delete(key);
    fresh.push({ ...one, batchId });
    return { kind: 'stored', rows: one.rows };
  });
  for (const day of new Set(fresh.flatMap(({ days }) => [...days.keys()]))) await copyDay(client, day, fresh);
  const folded: FoldedEdges[] = [];
  for (const [tenantId, own] of byTenant(fresh)) {
    await become(tenantId);
    const sums = sumEdges(tenantId, own);
    if (sums.folded !== undefined) folded.push(sums.folded);
    await insertEdgeParts(client, tenantId, sums);
  }
  return { outcomes, folded };
}

function byTenant<One extends Prepared>(prepared: readonly One[]): Map<string, One[]> {
  return Map.groupBy(prepared, (one) => one.sent.sender.tenantId);
}

/** Rows by day. Those outside every partition cannot be stored: they are counted as lost, with the reason. */
function partitioned({ columns, account, windowStartUs, windowEndUs }: FlowBatch, known: ReadonlySet<number>): Pick<Prepared, 'days' | 'rows' | 'losses' | 'window'> {
  const { rows, lastSeenUs } = columns;
  if (rows === 0) return { days: new Map(), rows, losses: account.dropped, window: { startUs: Math.min(windowStartUs, windowEndUs), endUs: windowEndUs } };
  let startUs = Number.POSITIVE_INFINITY;
  let endUs = 0;
  for (const us of lastSeenUs) {
    if (us < startUs) startUs = us;
    if (us > endUs) endUs = us;
  }
  const window = { startUs, endUs };
  const firstDay = Math.floor(startUs / DAY_US);
  if (firstDay === Math.floor(endUs / DAY_US) && known.has(firstDay)) return { days: new Map([[firstDay, undefined]]), rows, losses: account.dropped, window };
  return { ...splitByDay(columns, known, account.dropped), window };
}

function splitByDay({ rows, lastSeenUs, weight }: FlowBatch['columns'], known: ReadonlySet<number>, dropped: FlowLosses): Pick<Prepared, 'days' | 'rows' | 'losses'> {
  const days = new Map<number, number[]>();
  let outside = 0;
  let inside = 0;
  for (let row = 0; row < rows; row++) {
    const day = Math.floor((lastSeenUs[row] ?? 0) / DAY_US);
    const own = days.get(day);
    if (!known.has(day)) outside += weight[row] ?? 1;
    else if (own === undefined) days.set(day, [row]);
    else own.push(row);
    if (known.has(day)) inside++;
  }
  const losses = outside === 0 ? dropped : { ...dropped, 'outside-retention': (dropped['outside-retention'] ?? 0) + outside };
  return { days: new Map([...days].map(([day, own]) => [day, Uint16Array.from(own)])), rows: inside, losses };
}

/** @returns the rows that are new; what is absent was committed before */
async function insertLedger(client: PoolClient, tenantId: string, prepared: readonly Prepared[]): Promise<readonly LedgerRow[]> {
  const rows = prepared.map(({ sent: { sender, batch }, rows: count, losses, window }) => ({
    node_id: sender.nodeId, boot_id: batch.bootId, seq: batch.seq, cluster_id: sender.clusterId, rows: count,
    window_start: window.startUs, window_end: window.endUs, seen: batch.account.seen, sampled: batch.account.sampled,
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

async function copyDay(client: PoolClient, day: number, fresh: readonly (Prepared & { readonly batchId: number })[]): Promise<void> {
  const sources = fresh.flatMap(({ sent, batchId, ids, days }): CopySource[] => {
    if (!days.has(day)) return [];
    const rows = days.get(day);
    return [{ tenant: uuidWords(sent.sender.tenantId), batchId, columns: sent.batch.columns, ids, ...(rows === undefined ? {} : { rows }) }];
  });
  const leaf = `palisade.flow_${new Date(day * 86_400_000).toISOString().slice(0, 10).replaceAll('-', '')}`;
  for (const part of copyParts(sources)) await copyPart(client, leaf, part);
}

/** Rows go out while the next are written. @throws what the server says, or that the connection broke */
async function copyPart(client: PoolClient, leaf: string, { sources, seldom }: CopyPart): Promise<void> {
  const stream = client.query(copyFrom(`COPY ${leaf} (${copyColumns(seldom).join(', ')}) FROM STDIN (FORMAT binary)`));
  const failed = new Promise<never>((_, reject) => stream.on('error', reject));
  // Whoever waits hears of it; nobody may wait just then.
  failed.catch(() => undefined);
  for (const chunk of copyChunks(sources, seldom)) if (!stream.write(chunk)) await Promise.race([once(stream, 'drain'), failed]);
  const finished = once(stream, 'finish');
  stream.end();
  await finished;
}

function sumEdges(tenantId: string, prepared: readonly Prepared[]): EdgeSums {
  const sums = new EdgeSums(tenantId, EDGE_CAP, prepared[0]?.parties.at(-1) ?? 0);
  for (const { sent, ids, parties, days } of prepared) {
    const source = { clusterId: sent.sender.clusterId, columns: sent.batch.columns, parties, policySets: ids.policySets };
    for (const rows of days.values()) sums.add(source, rows);
  }
  return sums;
}

/** Data that PostgreSQL will never take is the sender's fault; everything else passes. */
function classify(error: unknown): unknown {
  const code = (error as { code?: unknown }).code;
  if (error instanceof DomainError || typeof code !== 'string' || !/^(22|23)/.test(code)) return error;
  return new DomainError('request.invalid', `The database cannot hold this batch: ${(error as Error).message}`, { cause: error });
}
