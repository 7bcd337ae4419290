import { DomainError } from '@palisade/errors';
import { FLOW_LOSS_REASONS, totalLost, type FlowCoverage, type FlowLosses } from '@palisade/flow';
import type { FlowPage, FlowPosition, FlowQuery, FlowReader, FlowTail, IngestPosition } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { Pool, PoolClient } from 'pg';
import { namespaceScopeCondition, Parameters, selectionCondition } from './flow-filter-sql.ts';
import { FLOW_ROW_COLUMNS, nameFlows, type FlowRow } from './flow-rows.ts';
import { inTransaction, setTenant } from './tenant-transaction.ts';

const STATEMENT_TIMEOUT_MS = 10_000;
/** Most ledger rows one `tail` looks at. */
const TAIL_BATCHES = 500;

/** Microseconds as a timestamp literal, exactly. */
export function timestampText(us: number): string {
  const ms = Math.floor(us / 1000);
  return `${new Date(ms).toISOString().slice(0, -1)}${String(us - ms * 1000).padStart(3, '0')}Z`;
}

/** Reads flows from PostgreSQL with the api's (or worker's) role. Row-level security limits it to the tenant, conditions to the scope. */
export class PostgresFlowReader implements FlowReader {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  list(context: TenantContext, query: FlowQuery): Promise<FlowPage> {
    return this.#read(context, async (client) => {
      const rows = await listRows(client, context, query);
      const page = rows.slice(0, query.limit);
      const flows = await nameFlows(client, page);
      const coverage = await readCoverage(client, context, query);
      const last = page.at(-1);
      if (rows.length <= query.limit || last === undefined) return { flows, coverage };
      return { flows, coverage, next: { lastSeenUs: Number(last.last_seen_us), batch: last.batch_id, row: last.row } };
    });
  }

  now(context: TenantContext): Promise<IngestPosition> {
    return this.#read(context, async (client) => {
      const { rows } = await client.query<{ commit: string }>('SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS commit');
      return { commit: rows[0]?.commit ?? '0', batch: '0' };
    });
  }

  tail(context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>, position: IngestPosition, limit: number): Promise<FlowTail> {
    return this.#read(context, async (client) => {
      const batches = await committedAfter(client, position);
      const taken = takeBatches(batches, limit);
      const last = taken.at(-1);
      if (last === undefined) return { flows: [], position, more: false };
      const flows = await nameFlows(client, await batchRows(client, context, query, taken));
      return { flows, position: { commit: last.commit_order, batch: last.batch_id }, more: taken.length < batches.length || batches.length === TAIL_BATCHES };
    });
  }

  coverage(context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'sinceUs' | 'untilUs'>): Promise<FlowCoverage> {
    return this.#read(context, (client) => readCoverage(client, context, query));
  }

  async #read<Result>(context: TenantContext, work: (client: PoolClient) => Promise<Result>): Promise<Result> {
    try {
      return await inTransaction(this.#pool, 'BEGIN READ ONLY', async (client) => {
        await setTenant(client, context.tenantId);
        await client.query(`SELECT set_config('statement_timeout', $1, true)`, [String(STATEMENT_TIMEOUT_MS)]);
        return work(client);
      });
    } catch (error) {
      // 57014: query_canceled by the timeout.
      if ((error as { code?: unknown }).code !== '57014') throw error;
      throw new DomainError('service.unavailable', 'The query took too long; ask for a shorter window or fewer conditions.', { cause: error });
    }
  }
}

/** What the actor may see, and which cluster was asked for. */
function visible(context: TenantContext, clusterId: string | undefined, parameters: Parameters): string[] {
  const { clusters, namespaces } = context.actor.scope;
  const wanted = clusterId !== undefined ? [clusterId] : clusters === 'all' ? undefined : clusters;
  return [
    ...(wanted === undefined ? [] : [`f.observer_id IN (SELECT p.id FROM palisade.flow_observer p WHERE p.cluster_id = ANY (${parameters.add(wanted)}::uuid[]))`]),
    ...(namespaces === 'all' ? [] : [namespaceScopeCondition(namespaces, parameters)]),
  ];
}

function keyset(after: FlowPosition | undefined, order: FlowQuery['order'], parameters: Parameters): string[] {
  if (after === undefined) return [];
  const sign = order === 'newest' ? '<' : '>';
  const time = `${parameters.add(timestampText(after.lastSeenUs))}::timestamptz`;
  const position = `(${time}, ${parameters.add(after.batch)}::bigint, ${parameters.add(after.row)}::smallint)`;
  return [`f.last_seen ${sign}= ${time}`, `(f.last_seen, f.batch_id, f."row") ${sign} ${position}`];
}

async function listRows(client: PoolClient, context: TenantContext, query: FlowQuery): Promise<FlowRow[]> {
  const parameters = new Parameters();
  const conditions = [
    `f.last_seen >= ${parameters.add(timestampText(query.sinceUs))}::timestamptz`,
    `f.last_seen < ${parameters.add(timestampText(query.untilUs))}::timestamptz`,
    ...keyset(query.after, query.order, parameters),
    ...visible(context, query.clusterId, parameters),
    selectionCondition(query.selection, parameters),
  ];
  const way = query.order === 'newest' ? 'DESC' : 'ASC';
  const sql = `SELECT ${FLOW_ROW_COLUMNS} FROM palisade.flow f WHERE ${conditions.join(' AND ')}
    ORDER BY f.last_seen ${way}, f.batch_id ${way}, f."row" ${way} LIMIT ${parameters.add(query.limit + 1)}`;
  return (await client.query<FlowRow>(sql, parameters.values)).rows;
}

interface CommittedBatch {
  readonly commit_order: string;
  readonly batch_id: string;
  readonly rows: number;
  readonly window_start: string;
  readonly window_end: string;
}

/** Batches whose commits are final: below the oldest transaction that still runs, in one snapshot with the rows. */
async function committedAfter(client: PoolClient, { commit, batch }: IngestPosition): Promise<CommittedBatch[]> {
  const { rows } = await client.query<CommittedBatch>(
    `SELECT commit_order, batch_id, "rows", window_start::text, window_end::text FROM palisade.flow_batch
      WHERE (commit_order, batch_id) > ($1::bigint, $2::bigint) AND commit_order < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
      ORDER BY commit_order, batch_id LIMIT $3`,
    [commit, batch, TAIL_BATCHES],
  );
  return rows;
}

/** Whole batches until `limit` rows; at least one. */
function takeBatches(batches: readonly CommittedBatch[], limit: number): CommittedBatch[] {
  const taken: CommittedBatch[] = [];
  let rows = 0;
  for (const batch of batches) {
    if (taken.length > 0 && rows + batch.rows > limit) break;
    rows += batch.rows;
    taken.push(batch);
  }
  return taken;
}

async function batchRows(
  client: PoolClient, context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>, batches: readonly CommittedBatch[],
): Promise<FlowRow[]> {
  const parameters = new Parameters();
  const starts = `(SELECT min(t::timestamptz) FROM unnest(${parameters.add(batches.map((batch) => batch.window_start))}::text[]) t)`;
  const ends = `(SELECT max(t::timestamptz) FROM unnest(${parameters.add(batches.map((batch) => batch.window_end))}::text[]) t)`;
  const conditions = [
    `f.last_seen >= ${starts}`,
    `f.last_seen <= ${ends}`,
    `f.batch_id = ANY (${parameters.add(batches.map((batch) => batch.batch_id))}::bigint[])`,
    ...visible(context, query.clusterId, parameters),
    selectionCondition(query.selection, parameters),
  ];
  const sql = `SELECT ${FLOW_ROW_COLUMNS} FROM palisade.flow f WHERE ${conditions.join(' AND ')} ORDER BY f.batch_id, f."row"`;
  return (await client.query<FlowRow>(sql, parameters.values)).rows;
}

async function readCoverage(client: PoolClient, context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'sinceUs' | 'untilUs'>): Promise<FlowCoverage> {
  const { clusters } = context.actor.scope;
  const wanted = query.clusterId !== undefined ? [query.clusterId] : clusters === 'all' ? null : clusters;
  const { rows } = await client.query<{ sampled: string; losses: Record<string, string> | null }>(
    `WITH incomplete AS (
        SELECT sampled, losses FROM palisade.flow_batch
        WHERE incomplete AND window_end >= $1::timestamptz AND window_start < $2::timestamptz AND ($3::uuid[] IS NULL OR cluster_id = ANY ($3::uuid[])))
      SELECT (SELECT coalesce(sum(sampled), 0) FROM incomplete) AS sampled,
        (SELECT jsonb_object_agg(key, total::text) FROM (SELECT l.key, sum(l.value::bigint) AS total FROM incomplete, jsonb_each_text(losses) l GROUP BY l.key) t) AS losses`,
    [timestampText(query.sinceUs), timestampText(query.untilUs), wanted],
  );
  const sampled = Number(rows[0]?.sampled ?? 0);
  const losses: FlowLosses = Object.fromEntries(FLOW_LOSS_REASONS.flatMap((reason) => (rows[0]?.losses?.[reason] === undefined ? [] : [[reason, Number(rows[0].losses[reason])]])));
  const lost = totalLost(losses);
  return { complete: lost === 0 && sampled === 0, lost, sampled, losses };
}
