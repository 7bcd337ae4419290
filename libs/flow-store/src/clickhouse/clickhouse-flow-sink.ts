import { DomainError } from '@palisade/errors';
import { totalLost } from '@palisade/flow';
import { DEFAULT_FLOW_RETENTION, type FlowAppendOutcome, type FlowSink, type SentFlowBatch } from '@palisade/control';
import type { Pool, PoolClient } from 'pg';
import { FoldedEdges } from '../folded-edges.ts';
import { inTransaction } from '../postgres/tenant-transaction.ts';
import { batchKey, enterBatches, findBatches, type LedgerBatch } from './batch-ledger.ts';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { ContentIds } from './content-id.ts';
import { flowBlock, prepareBatch, type PreparedBatch } from './flow-block.ts';
import type { ClickHouseLayout } from './schema/engines.ts';
import { entryKey, SegmentLander, type LandingFigures } from './segment-lander.ts';
import type { AppendedRecord, SegmentSpool } from './spool/segment-spool.ts';
import type { LandingBatch, SpoolHead, SpoolRecord } from './spool/spool-record.ts';

const DAY_US = 86_400_000_000;
const DAYS_AHEAD = 3;
/** Ends a transaction on purpose. */
const UNDO = Symbol('undo');

export interface ClickHouseFlowSinkPorts {
  readonly session: ClickHouseSession;
  readonly layout: ClickHouseLayout;
  /** Connections of the ingest role to PostgreSQL: the ledger decides which batches are new. */
  readonly ledger: Pool;
  readonly spool: SegmentSpool;
  /** Older flows are counted as lost: they would be removed at once. */
  readonly keptDays?: number;
  /** Told of every landing that failed; it is tried again. */
  readonly onFailure?: (error: unknown) => void;
}

export interface SpoolFigures extends LandingFigures {
  readonly spoolBytes: number;
  readonly spoolSegments: number;
}

/**
 * Takes flows for ClickHouse. A batch is acknowledged when its ledger row is committed in PostgreSQL and its rows are
 * fsynced in this gateway's spool, in that order of dependence: the spool is written inside the ledger's transaction. From
 * there segments land in ClickHouse on their own, also after a restart; a segment that lands twice is stored once.
 */
export class ClickHouseFlowSink implements FlowSink {
  readonly #ledger: Pool;
  readonly #spool: SegmentSpool;
  readonly #lander: SegmentLander;
  readonly #keptDays: number;
  readonly #contentIds = new ContentIds();
  readonly #folded = new FoldedEdges();

  constructor(ports: ClickHouseFlowSinkPorts) {
    this.#ledger = ports.ledger;
    this.#spool = ports.spool;
    this.#keptDays = ports.keptDays ?? DEFAULT_FLOW_RETENTION.flowDays;
    this.#lander = new SegmentLander({ ...ports, fates: (records) => this.#findFates(records) });
  }

  /** Begins to land what is in the spool, and what comes. */
  start(): void {
    this.#lander.start();
  }

  /** Lands everything now. @throws when ClickHouse or PostgreSQL does not answer */
  flush(): Promise<void> {
    return this.#lander.flush();
  }

  async close(): Promise<void> {
    await this.#lander.stop();
    await this.#spool.close();
  }

  /** What was summed up as `other` since start, because a tenant had more edges than one commit tells apart. */
  get folded(): FoldedEdges {
    return this.#folded;
  }

  figures(): SpoolFigures {
    return { ...this.#lander.figures(), spoolBytes: this.#spool.bytes, spoolSegments: this.#spool.segments };
  }

  async append(batches: readonly SentFlowBatch[]): Promise<readonly FlowAppendOutcome[]> {
    const nowUs = Date.now() * 1000;
    const prepared = batches.map((sent) => prepareBatch(sent, keptRows(sent, nowUs, this.#keptDays), this.#contentIds));
    const folded = new FoldedEdges();
    let record: AppendedRecord | undefined;
    try {
      const outcomes = await inTransaction(this.#ledger, 'BEGIN', async (client) => {
        const ids = await enterBatches(client, prepared.map(ledgerBatch));
        const { fresh, batchIds, outcomes: own } = newOnes(prepared, ids);
        if (fresh.length > 0) record = await this.#spool.append(this.#record(fresh, batchIds, nowUs, folded), fresh.reduce((sum, { rows }) => sum + rows.length, 0));
        return own;
      });
      record?.settle(true);
      if (folded.rows > 0) this.#folded.merge(folded);
      return outcomes;
    } catch (error) {
      // Whether the commit went through is asked when the segment is sealed.
      record?.settle(undefined);
      throw classify(error);
    }
  }

  #record(fresh: readonly PreparedBatch[], batchIds: readonly string[], nowUs: number, folded: FoldedEdges): SpoolRecord {
    const entries: Record<string, Record<string, unknown>[]> = {};
    const named = new Set<string>();
    for (const { sent, entries: own } of fresh) {
      const { tenantId } = sent.sender;
      for (const { table, id, entry } of own) {
        const key = entryKey(table, tenantId, id);
        if (named.has(key) || this.#lander.has(key)) continue;
        named.add(key);
        (entries[table] ??= []).push({ tenant_id: tenantId, id, ...entry });
      }
    }
    const head: SpoolHead = { batches: fresh.map((batch, index) => landingBatch(batch, batchIds[index] ?? '0', nowUs)), entries };
    return { head, block: flowBlock(fresh, batchIds, folded) };
  }

  /**
   * Enters the batches again: that waits for a commit that may still be under way, and succeeds only where none was. Then
   * nobody was told that they are stored, so it is undone.
   */
  async #findFates(records: readonly SpoolRecord[]): Promise<boolean[]> {
    const fates: boolean[] = [];
    for (const { head } of records) {
      const batches = head.batches.map(({ loss_reasons: _reasons, loss_counts: _counts, node: _node, received_us: _received, ...batch }) => ({ ...batch, losses: {}, incomplete: batch.incomplete === 1 }));
      const found = await undone(this.#ledger, async (client) => {
        await enterBatches(client, batches);
        return findBatches(client, batches);
      });
      fates.push(head.batches.every((batch) => found.get(batchKey(batch)) === batch.batch_id));
    }
    return fates;
  }
}

async function undone<Result>(pool: Pool, work: (client: PoolClient) => Promise<Result>): Promise<Result> {
  let result: { readonly value: Result } | undefined;
  try {
    await inTransaction(pool, 'BEGIN', async (client) => {
      result = { value: await work(client) };
      throw Object.assign(new Error('undone on purpose'), { code: '00000', reason: UNDO });
    });
  } catch (error) {
    if ((error as { reason?: unknown }).reason !== UNDO || result === undefined) throw error;
  }
  if (result === undefined) throw new Error('A transaction ended without its result.');
  return result.value;
}

/** Rows of days that are kept. */
function keptRows({ batch: { columns } }: SentFlowBatch, nowUs: number, keptDays: number): number[] {
  const today = Math.floor(nowUs / DAY_US);
  const [from, until] = [(today - keptDays) * DAY_US, (today + DAYS_AHEAD + 1) * DAY_US];
  const rows: number[] = [];
  for (let row = 0; row < columns.rows; row++) {
    const at = columns.lastSeenUs[row] ?? 0;
    if (at >= from && at < until) rows.push(row);
  }
  return rows;
}

/** What the batch lost, with the flows that are too old or too far ahead. */
function lossesOf({ sent: { batch }, rows }: PreparedBatch): Record<string, number> {
  const { columns, account } = batch;
  let outside = 0;
  if (rows.length < columns.rows) {
    const kept = new Set(rows);
    for (let row = 0; row < columns.rows; row++) if (!kept.has(row)) outside += columns.weight[row] ?? 1;
  }
  const losses = { ...account.dropped, ...(outside === 0 ? {} : { 'outside-retention': (account.dropped['outside-retention'] ?? 0) + outside }) };
  return totalLost(losses) === 0 ? {} : losses;
}

/** From the rows themselves: readers rely on it to find them, and the header is only what the agent says. */
function seenWindow({ columns, windowStartUs, windowEndUs }: SentFlowBatch['batch']): { window_start_us: number; window_end_us: number } {
  if (columns.rows === 0) return { window_start_us: Math.min(windowStartUs, windowEndUs), window_end_us: windowEndUs };
  return { window_start_us: columns.lastSeenUs.reduce((least, us) => Math.min(least, us)), window_end_us: columns.lastSeenUs.reduce((most, us) => Math.max(most, us)) };
}

function ledgerBatch(prepared: PreparedBatch): LedgerBatch {
  const { sender, batch } = prepared.sent;
  const losses = lossesOf(prepared);
  return {
    tenant_id: sender.tenantId, node_id: sender.nodeId, boot_id: batch.bootId, seq: batch.seq, cluster_id: sender.clusterId, rows: prepared.rows.length,
    ...seenWindow(batch), seen: batch.account.seen, sampled: batch.account.sampled, losses, incomplete: totalLost(losses) > 0 || batch.account.sampled > 0,
  };
}

function landingBatch(prepared: PreparedBatch, batchId: string, nowUs: number): LandingBatch {
  const { losses, incomplete, ...batch } = ledgerBatch(prepared);
  return {
    ...batch, batch_id: batchId, node: prepared.sent.batch.columns.contexts[0]?.node ?? '', received_us: nowUs,
    loss_reasons: Object.keys(losses), loss_counts: Object.values(losses), incomplete: incomplete ? 1 : 0,
  };
}

interface NewOnes {
  readonly fresh: readonly PreparedBatch[];
  readonly batchIds: readonly string[];
  readonly outcomes: readonly FlowAppendOutcome[];
}

function newOnes(prepared: readonly PreparedBatch[], ids: Map<string, string>): NewOnes {
  const fresh: PreparedBatch[] = [];
  const batchIds: string[] = [];
  const outcomes = prepared.map((one): FlowAppendOutcome => {
    const { sender, batch } = one.sent;
    const key = batchKey({ tenant_id: sender.tenantId, node_id: sender.nodeId, boot_id: batch.bootId, seq: batch.seq });
    const id = ids.get(key);
    if (id === undefined) return { kind: 'duplicate' };
    // The same batch twice in one commit: the second one is a duplicate.
    ids.delete(key);
    fresh.push(one);
    batchIds.push(id);
    return { kind: 'stored', rows: one.rows.length };
  });
  return { fresh, batchIds, outcomes };
}

/** Data that the ledger will never take is the sender's fault; everything else passes. */
function classify(error: unknown): unknown {
  const code = (error as { code?: unknown }).code;
  if (error instanceof DomainError || typeof code !== 'string' || !/^(22|23)/.test(code)) return error;
  return new DomainError('request.invalid', `The ledger cannot hold this batch: ${(error as Error).message}`, { cause: error });
}
