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
import { readSlices, type FoundRows, type SliceReader, type TimeSlice } from './window-slices.ts';

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

const FIVE_MINUTES_US = 300_000_000;
const LAST_BATCH = '9223372036854775807';
const LAST_ROW = 32_767;

/** The place between two instants: everything on the near side of `us` is told. */
function positionAt(us: number, order: FlowQuery['order']): FlowPosition {
  return order === 'newest' ? { lastSeenUs: us, batch: '0', row: 0 } : { lastSeenUs: us - 1, batch: LAST_BATCH, row: LAST_ROW };
}

/** One row more than the page has, so that it is known whether it is the last. */
function listSlices(ask: () => TenantQuestion, context: TenantContext, query: FlowQuery): Promise<FoundRows<FlowRow>> {
  const { after, order } = query;
  // Flows of the instant where the page before ended are still to come.
  const window = {
    sinceUs: after === undefined || order === 'newest' ? query.sinceUs : Math.max(query.sinceUs, after.lastSeenUs),
    untilUs: after === undefined || order === 'oldest' ? query.untilUs : Math.min(query.untilUs, after.lastSeenUs + 1),
  };
  const reader: SliceReader<FlowRow> = {
    read: (slice, limit) => listRows(ask(), context, { ...query, ...slice }, limit),
    nearest: (slice) => nearestStored(ask(), slice, order),
    clock: () => performance.now(),
  };
  return readSlices(reader, window, order, query.limit + 1, Date.now() * 1000);
}

/** Five minutes in which the tenant has flows; read off the end of each sorted part, so that little of it is read. */
async function nearestStored(question: TenantQuestion, { sinceUs, untilUs }: TimeSlice, order: FlowQuery['order']): Promise<number | undefined> {
  const way = order === 'newest' ? 'DESC' : 'ASC';
  const [row] = await question.rows<{ five: string }>(
    `SELECT intDiv(last_seen_us, ${FIVE_MINUTES_US}) AS five ${question.from('flow', timeConditions(question, sinceUs, untilUs))}
      ORDER BY tenant_id ${way}, intDiv(last_seen_us, ${FIVE_MINUTES_US}) ${way} LIMIT 1`,
  );
  if (row === undefined) return undefined;
  return order === 'newest' ? (Number(row.five) + 1) * FIVE_MINUTES_US - 1 : Number(row.five) * FIVE_MINUTES_US;
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
