import type { FlowCoverage } from '@palisade/flow';
import type { FlowPage, FlowPosition, FlowQuery, FlowReader, FlowTail, IngestPosition } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { readCoverage } from './flow-coverage.ts';
import { FLOW_ROW_COLUMNS, nameFlows, type FlowRow } from './flow-rows.ts';
import { timeConditions, visible } from './flow-visibility.ts';
import { FlowTailing } from './flow-tailing.ts';
import { SchemaWords, type ClickHouseLayout } from './schema/engines.ts';
import { TenantQuestion } from './tenant-question.ts';

/** Reads flows from ClickHouse. Every statement is limited to the tenant (see `TenantQuestion`), and conditions to the scope. */
export class ClickHouseFlowReader implements FlowReader {
  readonly #session: ClickHouseSession;
  readonly #words: SchemaWords;
  readonly #tailing: FlowTailing;

  constructor(session: ClickHouseSession, layout: ClickHouseLayout) {
    this.#session = session;
    this.#words = new SchemaWords(layout);
    this.#tailing = new FlowTailing(session, this.#words);
  }

  async list(context: TenantContext, query: FlowQuery): Promise<FlowPage> {
    const ask = this.#asking(context);
    const [{ rows, reachedUs }, coverage] = await Promise.all([listSlices(ask, context, query), readCoverage(ask, context, query)]);
    const page = rows.slice(0, query.limit);
    const flows = await nameFlows(ask, page);
    const last = page.at(-1);
    if (rows.length > query.limit && last !== undefined) return { flows, coverage, next: { lastSeenUs: Number(last.last_seen_us), batch: last.batch_id, row: last.row } };
    return reachedUs === undefined ? { flows, coverage } : { flows, coverage, next: positionAt(reachedUs, query.order) };
  }

  now(): Promise<IngestPosition> {
    return this.#tailing.now();
  }

  tail(context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>, position: IngestPosition, limit: number): Promise<FlowTail> {
    return this.#tailing.tail(context, query, position, limit);
  }

  coverage(context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'sinceUs' | 'untilUs'>): Promise<FlowCoverage> {
    return readCoverage(this.#asking(context), context, query);
  }

  #asking(context: TenantContext): () => TenantQuestion {
    return () => new TenantQuestion(this.#session, this.#words, context);
  }
}

interface Slices {
  readonly rows: FlowRow[];
  /** How far was looked when time ran out; undefined when all of the window was. */
  readonly reachedUs?: number;
}

const FIRST_SLICE_US = 600_000_000;
const SLICE_GROWTH = 4;
/** After this, a page is given as it is: seldom flows are found over several pages rather than in one long query. */
const PAGE_BUDGET_MS = 150;
const LAST_BATCH = '9223372036854775807';
const LAST_ROW = 32_767;

/** The place between two instants: everything on the near side of `us` is told. */
function positionAt(us: number, order: FlowQuery['order']): FlowPosition {
  return order === 'newest' ? { lastSeenUs: us, batch: '0', row: 0 } : { lastSeenUs: us - 1, batch: LAST_BATCH, row: LAST_ROW };
}

/**
 * Looks through the window in growing slices from its near end until the page is full, the window ends, or time runs out:
 * within five minutes rows are sorted by verdict and ends, so the newest ones cannot be had without reading the slice.
 */
async function listSlices(ask: () => TenantQuestion, context: TenantContext, query: FlowQuery): Promise<Slices> {
  const startedAt = performance.now();
  const rows: FlowRow[] = [];
  const newest = query.order === 'newest';
  // Flows of the instant where the page before ended are still to come.
  let nearUs = query.after === undefined ? (newest ? query.untilUs : query.sinceUs) : newest ? Math.min(query.untilUs, query.after.lastSeenUs + 1) : Math.max(query.sinceUs, query.after.lastSeenUs);
  // The part of the window that has not happened yet is free.
  const aheadUs = newest ? Math.max(0, nearUs - Date.now() * 1000) : 0;
  for (let width = FIRST_SLICE_US + aheadUs; ; width *= SLICE_GROWTH) {
    const farUs = newest ? Math.max(query.sinceUs, nearUs - width) : Math.min(query.untilUs, nearUs + width);
    const slice = { sinceUs: Math.min(nearUs, farUs), untilUs: Math.max(nearUs, farUs) };
    rows.push(...(await listRows(ask(), context, { ...query, ...slice }, query.limit + 1 - rows.length)));
    if (rows.length > query.limit || farUs === (newest ? query.sinceUs : query.untilUs)) return { rows };
    nearUs = farUs;
    // The next slice would take about four times as long as all before it.
    if (width > FIRST_SLICE_US + aheadUs && (performance.now() - startedAt) * SLICE_GROWTH > PAGE_BUDGET_MS) return { rows, reachedUs: farUs };
  }
}

function keyset(after: FlowPosition | undefined, order: FlowQuery['order'], question: TenantQuestion): string[] {
  if (after === undefined) return [];
  const sign = order === 'newest' ? '<' : '>';
  const time = question.add('UInt64', after.lastSeenUs);
  const batch = question.add('UInt64', after.batch);
  const row = question.add('UInt64', after.row);
  return [`last_seen_us ${sign}= ${time}`, `(last_seen_us ${sign} ${time}) OR (batch_id ${sign} ${batch}) OR (batch_id = ${batch} AND row ${sign} ${row})`];
}

function listRows(question: TenantQuestion, context: TenantContext, query: FlowQuery, limit: number): Promise<readonly FlowRow[]> {
  const conditions = [...timeConditions(question, query.sinceUs, query.untilUs), ...keyset(query.after, query.order, question), ...visible(question, context, query)];
  const way = query.order === 'newest' ? 'DESC' : 'ASC';
  return question.rows<FlowRow>(`SELECT ${FLOW_ROW_COLUMNS} ${question.from('flow', conditions)} ORDER BY last_seen_us ${way}, batch_id ${way}, row ${way} LIMIT ${Math.trunc(limit)}`);
}
