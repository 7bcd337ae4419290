import type { FlowQuery } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { Pool, PoolClient } from 'pg';
import { ofBatches, type CommittedBatch } from '../postgres/committed-batches.ts';
import { Parameters } from '../postgres/flow-filter-sql.ts';
import { inTransaction, setTenant } from '../postgres/tenant-transaction.ts';
import { clusterCondition } from './actor-scope.ts';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { SchemaWords, type ClickHouseLayout } from './schema/engines.ts';
import { TenantQuestion } from './tenant-question.ts';

/** Landing takes about a second; replicas may lag. What takes longer than this is told of. */
const SETTLED_MS = 900_000;
/** Batches that one step looks at, and steps of one run: a run must not hold up the other tenants. */
const STEP = 5_000;
const STEPS = 20;
const MAX_UNLANDED = 10_000;

export interface UnlandedBatchesPorts {
  readonly session: ClickHouseSession;
  readonly layout: ClickHouseLayout;
  /** Connections of the worker's role to PostgreSQL, where the ledger is. */
  readonly ledger: Pool;
  readonly settledMs?: number;
}

interface LedgerRow extends CommittedBatch {
  readonly cluster_id: string;
  readonly window_start_us: string;
  readonly window_end_us: string;
  readonly losses: Readonly<Record<string, number>>;
  readonly settled: boolean;
}

interface LedgerPlace {
  readonly commit: string;
  readonly batch: string;
}

/**
 * Finds batches that a gateway acknowledged and that ClickHouse does not have: they wait on that gateway's disk, or were lost
 * with it. Goes through the ledger in order of commit, each batch once, beginning a day back; what is found is written to
 * ClickHouse, where `readUnlanded` counts it until the batch has landed after all.
 */
export class UnlandedBatches {
  readonly #session: ClickHouseSession;
  readonly #words: SchemaWords;
  readonly #ledger: Pool;
  readonly #settledMs: number;
  readonly #places = new Map<string, LedgerPlace>();

  constructor({ session, layout, ledger, settledMs = SETTLED_MS }: UnlandedBatchesPorts) {
    this.#session = session;
    this.#words = new SchemaWords(layout);
    this.#ledger = ledger;
    this.#settledMs = settledMs;
  }

  /** @returns how many were found now */
  async find(context: TenantContext): Promise<number> {
    let found = 0;
    for (let step = 0; step < STEPS; step++) {
      const batches = await this.#settledAfter(context, this.#places.get(context.tenantId));
      const last = batches.at(-1);
      if (last === undefined) break;
      const absent = await this.#notInPostgres(context, await this.#notLanded(context, batches.filter(({ rows }) => rows > 0)));
      if (absent.length > 0) await this.#write(context, absent);
      // Only now: a step that failed is repeated.
      this.#places.set(context.tenantId, { commit: last.commit_order, batch: last.batch_id });
      found += absent.length;
    }
    return found;
  }

  /** The next batches in order of commit, up to the first that may still be on its way. */
  #settledAfter(context: TenantContext, place: LedgerPlace | undefined): Promise<readonly LedgerRow[]> {
    return this.#asTenant(context, async (client) => {
      const { commit, batch } = place ?? (await dayBack(client));
      const { rows } = await client.query<LedgerRow>(
        `SELECT commit_order, batch_id, cluster_id, "rows", window_start::text, window_end::text, losses,
            (extract(epoch FROM window_start) * 1000000)::bigint AS window_start_us, (extract(epoch FROM window_end) * 1000000)::bigint AS window_end_us,
            received_at < now() - $3 * interval '1 millisecond' AS settled
          FROM palisade.flow_batch
          WHERE (commit_order, batch_id) > ($1::bigint, $2::bigint) AND commit_order < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
          ORDER BY flow_batch.commit_order, flow_batch.batch_id LIMIT ${STEP}`,
        [commit, batch, this.#settledMs],
      );
      const end = rows.findIndex(({ settled }) => !settled);
      return end < 0 ? rows : rows.slice(0, end);
    });
  }

  async #notLanded(context: TenantContext, batches: readonly LedgerRow[]): Promise<readonly LedgerRow[]> {
    if (batches.length === 0) return [];
    const landed = await landedOf(new TenantQuestion(this.#session, this.#words, context), batches.map(({ batch_id: id }) => id));
    return batches.filter(({ batch_id: id }) => !landed.has(id));
  }

  /** Without those whose flows are in PostgreSQL: they were stored before flows were kept in ClickHouse. */
  #notInPostgres(context: TenantContext, batches: readonly LedgerRow[]): Promise<readonly LedgerRow[]> {
    if (batches.length === 0) return Promise.resolve([]);
    return this.#asTenant(context, async (client) => {
      const parameters = new Parameters();
      const conditions = ofBatches(batches, parameters);
      const { rows } = await client.query<{ batch_id: string }>(`SELECT DISTINCT f.batch_id FROM palisade.flow f WHERE ${conditions.join(' AND ')}`, parameters.values);
      const there = new Set(rows.map(({ batch_id: id }) => id));
      return batches.filter(({ batch_id: id }) => !there.has(id));
    });
  }

  /** A batch that is written twice replaces itself. */
  #write({ tenantId }: TenantContext, batches: readonly LedgerRow[]): Promise<void> {
    const rows = batches.map(({ batch_id, cluster_id, window_start_us, window_end_us, rows: flows, losses }) => ({
      tenant_id: tenantId, batch_id, cluster_id, window_start_us, window_end_us, lost: Object.values(losses).reduce((sum, count) => sum + count, flows), found_us: Date.now() * 1000,
    }));
    const body = Buffer.from(rows.map((row) => JSON.stringify(row)).join('\n'));
    return this.#session.insert({ table: this.#words.local('flow_unlanded'), format: 'JSONEachRow', body, token: `unlanded-${tenantId}-${batches[0]?.batch_id}-${batches.at(-1)?.batch_id}`, shard: 0 });
  }

  #asTenant<Result>(context: TenantContext, work: (client: PoolClient) => Promise<Result>): Promise<Result> {
    return inTransaction(this.#ledger, 'BEGIN READ ONLY', async (client) => {
      await setTenant(client, context.tenantId);
      return work(client);
    });
  }
}

async function dayBack(client: PoolClient): Promise<LedgerPlace> {
  const { rows } = await client.query<{ commit: string | null }>(`SELECT min(commit_order)::text AS commit FROM palisade.flow_batch WHERE received_at > now() - interval '1 day'`);
  return { commit: rows[0]?.commit ?? '0', batch: '0' };
}

async function landedOf(question: TenantQuestion, batchIds: readonly string[]): Promise<ReadonlySet<string>> {
  const from = question.from('flow_batch', [`has(${question.add('Array(UInt64)', batchIds.map(Number))}, batch_id)`]);
  return new Set((await question.rows<{ batch_id: string }>(`SELECT DISTINCT batch_id ${from}`)).map(({ batch_id: id }) => id));
}

/** Flows of the window that were acknowledged and are not here now. */
export async function readUnlanded(ask: () => TenantQuestion, context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'sinceUs' | 'untilUs'>): Promise<number> {
  const question = ask();
  const from = question.from('flow_unlanded', [
    `window_end_us >= ${question.add('UInt64', query.sinceUs)}`, `window_start_us < ${question.add('UInt64', query.untilUs)}`, ...clusterCondition(context, query.clusterId, question),
  ]);
  const found = await question.rows<{ batch_id: string; flows: string }>(`SELECT batch_id, max(lost) AS flows ${from} GROUP BY batch_id LIMIT ${MAX_UNLANDED}`);
  if (found.length === 0) return 0;
  const landed = await landedOf(ask(), found.map(({ batch_id: id }) => id));
  return found.reduce((sum, { batch_id: id, flows }) => (landed.has(id) ? sum : sum + Number(flows)), 0);
}
