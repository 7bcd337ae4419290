import type { FlowCoverage } from '@palisade/flow';
import type { FlowPage, FlowPosition, FlowQuery, FlowReader, FlowTail, IngestPosition } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { Pool, PoolClient } from 'pg';
import { checkedPosition } from './checked-position.ts';
import { committedAfter, ofBatches, TAIL_BATCHES, takeBatches, type CommittedBatch } from './committed-batches.ts';
import { readCoverage } from './flow-coverage.ts';
import { Parameters, selectionCondition } from './flow-filter-sql.ts';
import { FLOW_ROW_COLUMNS, nameFlows, type FlowRow } from './flow-rows.ts';
import { LookupParameters, type Statement } from './flow-lookups.ts';
import { visibleFlows } from './flow-visibility.ts';
import { inReadTransaction, timestampText } from './read-transaction.ts';

/** Reads flows from PostgreSQL with the api's (or worker's) role. Row-level security limits it to the tenant, conditions to the scope. */
export class PostgresFlowReader implements FlowReader {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  list(context: TenantContext, query: FlowQuery): Promise<FlowPage> {
    return inReadTransaction(this.#pool, context, async (client) => {
      const { rows, reachedUs } = await listSlices(client, context, query);
      const page = rows.slice(0, query.limit);
      const flows = await nameFlows(client, page);
      const coverage = await readCoverage(client, context, query);
      const last = page.at(-1);
      if (rows.length > query.limit && last !== undefined) return { flows, coverage, next: { lastSeenUs: Number(last.last_seen_us), batch: last.batch_id, row: last.row } };
      return reachedUs === undefined ? { flows, coverage } : { flows, coverage, next: positionAt(reachedUs, query.order) };
    });
  }

  now(context: TenantContext): Promise<IngestPosition> {
    return inReadTransaction(this.#pool, context, async (client) => {
      const { rows } = await client.query<{ commit: string }>('SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS commit');
      return { commit: rows[0]?.commit ?? '0', batch: '0' };
    });
  }

  tail(context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>, position: IngestPosition, limit: number): Promise<FlowTail> {
    return inReadTransaction(this.#pool, context, async (client) => {
      const batches = await committedAfter(client, position);
      const taken = takeBatches(batches, limit);
      const last = taken.at(-1);
      if (last === undefined) return { flows: [], position, more: false };
      const flows = await nameFlows(client, await batchRows(client, context, query, taken));
      return { flows, position: { commit: last.commit_order, batch: last.batch_id }, more: taken.length < batches.length || batches.length === TAIL_BATCHES };
    });
  }

  coverage(context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'sinceUs' | 'untilUs'>): Promise<FlowCoverage> {
    return inReadTransaction(this.#pool, context, (client) => readCoverage(client, context, query));
  }
}

function keyset(after: FlowPosition | undefined, order: FlowQuery['order'], parameters: Parameters): string[] {
  if (after === undefined) return [];
  checkedPosition(after);
  const sign = order === 'newest' ? '<' : '>';
  const time = `${parameters.add(timestampText(after.lastSeenUs))}::timestamptz`;
  const position = `(${time}, ${parameters.add(after.batch)}::bigint, ${parameters.add(after.row)}::smallint)`;
  return [`f.last_seen ${sign}= ${time}`, `(f.last_seen, f.batch_id, f."row") ${sign} ${position}`];
}

interface Slices {
  readonly rows: FlowRow[];
  /** How far was looked when time ran out; undefined when all of the window was. */
  readonly reachedUs?: number;
}

const FIRST_SLICE_US = 600_000_000;
const SLICE_GROWTH = 4;
/** After this, a page is given as it is: seldom flows are found over several pages rather than in one long query. */
const PAGE_BUDGET_MS = 120;
/** A slice that would have to be narrower than this share of the one before it is left to the next page. */
const LEAST_SHARE = 0.5;

/** The place between two instants: everything on the near side of `us` is told. */
function positionAt(us: number, order: FlowQuery['order']): FlowPosition {
  return order === 'newest' ? { lastSeenUs: us, batch: '0', row: 0 } : { lastSeenUs: us - 1, batch: '9223372036854775807', row: 32_767 };
}

/** Looks through the window in growing slices from its near end until the page is full, the window ends, or time runs out. */
async function listSlices(client: PoolClient, context: TenantContext, query: FlowQuery): Promise<Slices> {
  const startedAt = performance.now();
  const rows: FlowRow[] = [];
  const wanted = await resolvedConditions(client, context, query);
  const newest = query.order === 'newest';
  // Flows of the instant where the page before ended are still to come.
  let nearUs = query.after === undefined ? (newest ? query.untilUs : query.sinceUs) : newest ? Math.min(query.untilUs, query.after.lastSeenUs + 1) : Math.max(query.sinceUs, query.after.lastSeenUs);
  // The part of the window that has not happened yet is free.
  const aheadUs = newest ? Math.max(0, nearUs - Date.now() * 1000) : 0;
  for (let width = FIRST_SLICE_US, ahead = aheadUs; ; ahead = 0) {
    const farUs = newest ? Math.max(query.sinceUs, nearUs - width - ahead) : Math.min(query.untilUs, nearUs + width);
    const slice = { sinceUs: Math.min(nearUs, farUs), untilUs: Math.max(nearUs, farUs) };
    const sliceAt = performance.now();
    rows.push(...(await listRows(client, wanted, { ...query, ...slice }, query.limit + 1 - rows.length)));
    if (rows.length > query.limit || farUs === (newest ? query.sinceUs : query.untilUs)) return { rows };
    nearUs = farUs;
    // As wide as the time left allows, going by what the slice before took.
    const now = performance.now();
    const share = (PAGE_BUDGET_MS - (now - startedAt)) / Math.max(1, now - sliceAt);
    if (share < LEAST_SHARE) return { rows, reachedUs: farUs };
    width = Math.ceil(width * Math.min(SLICE_GROWTH, share));
  }
}

/** What is asked for and may be seen, as one condition on `palisade.flow f` in which dictionaries have been looked up. */
async function resolvedConditions(client: PoolClient, context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>): Promise<Statement> {
  const parameters = new LookupParameters();
  const conditions = [...visibleFlows(context, query.clusterId, parameters), selectionCondition(query.selection, parameters)];
  return parameters.resolve(client, conditions.join(' AND '));
}

async function listRows(client: PoolClient, wanted: Statement, query: FlowQuery, limit: number): Promise<FlowRow[]> {
  const parameters = new Parameters(wanted.values);
  const conditions = [
    wanted.sql,
    `f.last_seen >= ${parameters.add(timestampText(query.sinceUs))}::timestamptz`,
    `f.last_seen < ${parameters.add(timestampText(query.untilUs))}::timestamptz`,
    ...keyset(query.after, query.order, parameters),
  ];
  const way = query.order === 'newest' ? 'DESC' : 'ASC';
  const sql = `SELECT ${FLOW_ROW_COLUMNS} FROM palisade.flow f WHERE ${conditions.join(' AND ')}
    ORDER BY f.last_seen ${way}, f.batch_id ${way}, f."row" ${way} LIMIT ${parameters.add(limit)}`;
  return (await client.query<FlowRow>(sql, parameters.values)).rows;
}

async function batchRows(
  client: PoolClient, context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>, batches: readonly CommittedBatch[],
): Promise<FlowRow[]> {
  const wanted = await resolvedConditions(client, context, query);
  const parameters = new Parameters(wanted.values);
  const conditions = [wanted.sql, ...ofBatches(batches, parameters)];
  const sql = `SELECT ${FLOW_ROW_COLUMNS} FROM palisade.flow f WHERE ${conditions.join(' AND ')} ORDER BY f.batch_id, f."row"`;
  return (await client.query<FlowRow>(sql, parameters.values)).rows;
}
