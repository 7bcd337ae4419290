import type { TenantContext } from '@palisade/tenancy';
import type { ClickHouseSession } from '../clickhouse/clickhouse-session.ts';
import { SchemaWords, type ClickHouseLayout } from '../clickhouse/schema/engines.ts';
import { TenantQuestion } from '../clickhouse/tenant-question.ts';
import type { LedgerPlace } from './postgres-flow-history.ts';

/** Which batches are copied together. It never changes once it is planned: its number is what a repeated insert is known by. */
export interface PlannedChunk {
  readonly chunk: number;
  readonly place: LedgerPlace;
  readonly batchIds: readonly string[];
  readonly rows: number;
  readonly plannedUs: number;
}

export interface CopyState {
  /** Where the next chunk begins. */
  readonly place: LedgerPlace;
  readonly nextChunk: number;
  /** Planned, and perhaps written in part. */
  readonly pending?: PlannedChunk;
}

interface JournalRow extends LedgerPlace {
  readonly chunk: string;
  readonly batch_ids: readonly string[];
  readonly rows: string;
  readonly at_us: string;
}

/** How far a tenant's history is copied, kept where it is copied to: any machine can go on. */
export class CopyJournal {
  readonly #session: ClickHouseSession;
  readonly #words: SchemaWords;

  constructor(session: ClickHouseSession, layout: ClickHouseLayout) {
    this.#session = session;
    this.#words = new SchemaWords(layout);
  }

  async read(context: TenantContext): Promise<CopyState> {
    const [planned] = await this.#last(context, 0);
    if (planned === undefined) return { place: { commit_order: '0', batch_id: '0' }, nextChunk: 1 };
    const [done] = await this.#last(context, 1);
    const place = { commit_order: planned.commit_order, batch_id: planned.batch_id };
    const chunk = Number(planned.chunk);
    if (done?.chunk === planned.chunk) return { place, nextChunk: chunk + 1 };
    return { place, nextChunk: chunk + 1, pending: { chunk, place, batchIds: planned.batch_ids, rows: Number(planned.rows), plannedUs: Number(planned.at_us) } };
  }

  plan(context: TenantContext, planned: PlannedChunk): Promise<void> {
    return this.#write(context, planned, 0);
  }

  done(context: TenantContext, planned: PlannedChunk): Promise<void> {
    return this.#write(context, planned, 1);
  }

  #last(context: TenantContext, done: 0 | 1): Promise<readonly JournalRow[]> {
    const question = new TenantQuestion(this.#session, this.#words, context);
    return question.rows<JournalRow>(
      `SELECT chunk, commit_order, batch_id, arrayMap(id -> toString(id), batch_ids) AS batch_ids, rows, at_us ${question.from('flow_copy', [`done = ${done}`])} ORDER BY chunk DESC LIMIT 1`,
    );
  }

  #write({ tenantId }: TenantContext, { chunk, place, batchIds, rows, plannedUs }: PlannedChunk, done: 0 | 1): Promise<void> {
    const row = { tenant_id: tenantId, chunk, ...place, batch_ids: batchIds, rows, done, at_us: plannedUs };
    return this.#session.insert({ table: this.#words.local('flow_copy'), format: 'JSONEachRow', body: Buffer.from(JSON.stringify(row)), token: `copy-${tenantId}-${chunk}-journal-${done}`, shard: 0 });
  }
}
