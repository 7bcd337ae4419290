import { DomainError } from '@palisade/errors';
import { DEFAULT_FLOW_RETENTION } from '@palisade/control';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import type { Pool } from 'pg';
import type { ClickHouseSession } from '../clickhouse/clickhouse-session.ts';
import { SchemaWords, type ClickHouseLayout } from '../clickhouse/schema/engines.ts';
import { NO_TENANT } from '../clickhouse/segment-lander.ts';
import { TenantQuestion } from '../clickhouse/tenant-question.ts';
import { CopyJournal, type PlannedChunk } from './copy-journal.ts';
import { HistoryCheck, type HistoryComparison } from './history-check.ts';
import { HistoryChunks } from './history-chunks.ts';
import { PostgresFlowHistory, type HistoryBatch, type HistoryChunk, type LedgerPlace } from './postgres-flow-history.ts';

const DAY_MS = 86_400_000;
/** A chunk is all that is held in memory. */
const CHUNK = { batches: 200, rows: 20_000 };
/** A batch without flows may still lie in a gateway's spool; after this it is taken to be PostgreSQL's. */
const SETTLED_MS = 600_000;
/** Tokens are remembered for 10,000 inserts and 30 days; beyond a part of that, what is there is counted instead. */
const REMEMBERED = { inserts: 3_000, days: 20 };

export interface FlowHistoryCopyPorts {
  /** Connections of the worker's role, at least two. */
  readonly pool: Pool;
  readonly session: ClickHouseSession;
  readonly layout: ClickHouseLayout;
  readonly chunk?: { readonly batches: number; readonly rows: number };
  /** Told after every chunk. */
  readonly onChunk?: (copied: { readonly chunk: number; readonly flows: number }) => void;
}

export interface CopiedHistory extends HistoryComparison {
  readonly tenantId: string;
  /** By this run; what earlier runs copied is not in it. */
  readonly copiedBatches: number;
  readonly copiedFlows: number;
  /** Batches without flows of which it cannot be told yet which store they belong to. With them the copy is not at its end. */
  readonly waiting: number;
}

/**
 * Copies a tenant's flows from PostgreSQL to ClickHouse, batch by batch in the order of the ledger, under the ids they have.
 * It may be ended at any moment and goes on where it was: a chunk is planned in ClickHouse before it is written, and every
 * insert of it has a token. Batches that ClickHouse has already, from a gateway or from an earlier copy, are left out.
 */
export class FlowHistoryCopy {
  readonly #ports: FlowHistoryCopyPorts;
  readonly #history: PostgresFlowHistory;
  readonly #journal: CopyJournal;
  readonly #chunks: HistoryChunks;
  readonly #check: HistoryCheck;
  readonly #words: SchemaWords;

  constructor(ports: FlowHistoryCopyPorts) {
    this.#ports = ports;
    this.#history = new PostgresFlowHistory(ports.pool);
    this.#journal = new CopyJournal(ports.session, ports.layout);
    this.#chunks = new HistoryChunks(ports.session, ports.layout);
    this.#check = new HistoryCheck(ports);
    this.#words = new SchemaWords(ports.layout);
  }

  /** @throws DomainError `service.unavailable` when another copy of the tenant is under way */
  async copy(context: TenantContext): Promise<CopiedHistory> {
    const lock = await this.#ports.pool.connect();
    let broken = false;
    const onError = (): void => void (broken = true);
    lock.on('error', onError);
    try {
      const { rows } = await lock.query<{ mine: boolean }>(`SELECT pg_try_advisory_lock(hashtext('flow-copy'), hashtext($1)) AS mine`, [context.tenantId]);
      if (rows[0]?.mine !== true) throw new DomainError('service.unavailable', 'Another copy of this tenant’s flows is under way; wait for its end.');
      return await this.#copyAll(context);
    } finally {
      await lock.query(`SELECT pg_advisory_unlock(hashtext('flow-copy'), hashtext($1))`, [context.tenantId]).catch(() => (broken = true));
      lock.removeListener('error', onError);
      lock.release(broken);
    }
  }

  async #copyAll(context: TenantContext): Promise<CopiedHistory> {
    const end = await this.#history.end(context);
    const copied = { copiedBatches: 0, copiedFlows: 0 };
    const count = (chunk: number, written: HistoryChunk): void => {
      const flows = flowsOf(written);
      copied.copiedBatches += written.batches.length;
      copied.copiedFlows += flows;
      this.#ports.onChunk?.({ chunk, flows });
    };
    const state = await this.#journal.read(context);
    if (state.pending !== undefined) count(state.pending.chunk, await this.#finish(context, state.pending));
    let { place, nextChunk } = state;
    let waiting = 0;
    for (;;) {
      const found = await this.#history.chunkAfter(context, place, end, this.#ports.chunk ?? CHUNK);
      const last = found.batches.at(-1);
      if (last === undefined) break;
      const sorted = await this.#sort(context, found);
      ({ waiting } = sorted);
      place = sorted.reached ?? place;
      if (sorted.chunk.batches.length > 0) {
        const planned = { chunk: nextChunk++, place, batchIds: sorted.chunk.batches.map(({ batch_id: id }) => id), rows: flowsOf(sorted.chunk), plannedUs: Date.now() * 1000 };
        await this.#journal.plan(context, planned);
        await this.#chunks.write(context, planned.chunk, sorted.chunk);
        await this.#journal.done(context, planned);
        count(planned.chunk, sorted.chunk);
      }
      if (waiting > 0) break;
    }
    return { tenantId: context.tenantId, ...copied, waiting, ...(await this.#compare(context, end)) };
  }

  /** Which of the batches are PostgreSQL's alone, up to the first of which it cannot be told. */
  async #sort(context: TenantContext, found: HistoryChunk): Promise<{ readonly chunk: HistoryChunk; readonly reached?: LedgerPlace; readonly waiting: number }> {
    const [there, oldestUs] = [await this.#landed(context, found.batches), await this.#history.oldestUs(context)];
    const batches: HistoryBatch[] = [];
    let reached: LedgerPlace | undefined;
    for (const batch of found.batches) {
      const place = { commit_order: batch.commit_order, batch_id: batch.batch_id };
      if (!there.has(batch.batch_id)) {
        const here = found.flows.has(batch.batch_id);
        if (batch.rows === 0 && Number(batch.received_us) / 1000 > Date.now() - SETTLED_MS) {
          const waiting = found.batches.filter(({ rows, batch_id: id }) => rows === 0 && !there.has(id)).length;
          return { chunk: { ...found, batches }, waiting, ...(reached === undefined ? {} : { reached }) };
        }
        // Flows that neither are here nor were removed with their day lie in ClickHouse, or in a gateway's spool on their way there.
        if (here || batch.rows === 0 || Number(batch.window_end_us) < oldestUs) batches.push(batch);
      }
      reached = place;
    }
    return { chunk: { ...found, batches }, waiting: 0, ...(reached === undefined ? {} : { reached }) };
  }

  async #landed(context: TenantContext, batches: readonly HistoryBatch[]): Promise<Set<string>> {
    const question = this.#ask(context);
    const ids = batches.map(({ batch_id: id }) => BigInt(id).toString());
    const rows = await question.rows<{ batch_id: string }>(`SELECT DISTINCT batch_id ${question.from('flow_batch', [`batch_id IN (${ids.join(', ')})`])}`);
    return new Set(rows.map(({ batch_id: id }) => id));
  }

  /** Writes a chunk again of which it is not known how far it was written. */
  async #finish(context: TenantContext, planned: PlannedChunk): Promise<HistoryChunk> {
    const chunk = await this.#history.chunk(context, planned.batchIds);
    if (chunk.batches.length < planned.batchIds.length) {
      throw new Error(`The ledger has forgotten batches of chunk ${planned.chunk}, which an earlier copy left half done: the copy of tenant ${context.tenantId} cannot go on.`);
    }
    if (await this.#remembers(planned)) {
      await this.#chunks.write(context, planned.chunk, chunk);
    } else {
      await this.#writeWhatLacks(context, planned, chunk);
    }
    await this.#journal.done(context, planned);
    return chunk;
  }

  /** Whether ClickHouse still knows the tokens of that time. */
  async #remembers({ plannedUs }: PlannedChunk): Promise<boolean> {
    if (Date.now() - plannedUs / 1000 > REMEMBERED.days * DAY_MS) return false;
    const question = this.#ask(systemContext(parseTenantId(NO_TENANT), 'flow-copy'));
    const [row] = await question.rows<{ n: string }>(`SELECT count() AS n ${question.from('flow_batch', [`sealed_us >= ${question.add('UInt64', plannedUs)}`])}`);
    return Number(row?.n ?? 0) < REMEMBERED.inserts;
  }

  async #writeWhatLacks(context: TenantContext, { chunk: number, batchIds, rows: planned }: PlannedChunk, chunk: HistoryChunk): Promise<void> {
    const question = this.#ask(context);
    const [row] = await question.rows<{ n: string }>(`SELECT count() AS n ${question.from('flow', [`batch_id IN (${batchIds.map((id) => BigInt(id).toString()).join(', ')})`])}`);
    const there = Number(row?.n ?? 0);
    if (there !== 0 && there !== planned) {
      throw new Error(`ClickHouse has ${there} of the ${planned} flows of chunk ${number} and no longer knows its inserts: remove those of batches ${batchIds[0]} to ${batchIds.at(-1)} of tenant ${context.tenantId} there, then copy again.`);
    }
    const landed = await this.#landed(context, chunk.batches);
    if (there === 0) await this.#chunks.write(context, number, { ...chunk, batches: chunk.batches.filter(({ batch_id: id }) => !landed.has(id)) });
    else if (landed.size === 0) await this.#chunks.writeBatches(context, number, chunk);
  }

  /** Replicas follow within moments: a difference is asked about again before it is believed. */
  async #compare(context: TenantContext, end: string): Promise<HistoryComparison> {
    const today = Math.floor(Date.now() / DAY_MS);
    const sinceUs = (today - DEFAULT_FLOW_RETENTION.flowDays) * DAY_MS * 1000;
    let comparison = await this.#check.compare(context, end, sinceUs);
    for (let again = 0; again < 3 && comparison.differences.length > 0 && this.#ports.layout.cluster !== undefined; again++) comparison = await this.#check.compare(context, end, sinceUs);
    return comparison;
  }

  #ask(context: TenantContext): TenantQuestion {
    return new TenantQuestion(this.#ports.session, this.#words, context);
  }
}

function flowsOf({ batches, flows }: HistoryChunk): number {
  return batches.reduce((sum, { batch_id: id }) => sum + (flows.get(id)?.length ?? 0), 0);
}

/** What a copy did, in sentences for whoever ran it. */
export function copySentences({ tenantId, copiedBatches, copiedFlows, waiting, days, flows, differences }: CopiedHistory): string[] {
  const verdict = differences.length === 0
    ? `ClickHouse has the same ${flows} flows of ${days} days as PostgreSQL, with the same packets, bytes and weights.`
    : `the stores differ on ${differences.length} of ${days} days.`;
  return [
    `Tenant ${tenantId}: ${copiedBatches} batches with ${copiedFlows} flows copied; ${verdict}`,
    ...differences.map(({ day, postgres, clickHouse }) => `Tenant ${tenantId}, ${day}: PostgreSQL has ${postgres.flows} flows of ${postgres.bytes} bytes, ClickHouse ${clickHouse.flows} of ${clickHouse.bytes}.`),
    ...(waiting === 0 ? [] : [`Tenant ${tenantId}: ${waiting} batches without flows came within the last ten minutes and may still be on their way to ClickHouse; the copy stopped before them: run it again in ten minutes.`]),
  ];
}
