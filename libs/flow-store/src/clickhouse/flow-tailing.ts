import type { FlowQuery, FlowTail, IngestPosition } from '@palisade/control';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { FLOW_ROW_COLUMNS, nameFlows, type FlowRow } from './flow-rows.ts';
import { timeConditions, visible } from './flow-visibility.ts';
import { placeOf, positionOf, type IngestPlace, type SegmentName } from './ingest-place.ts';
import type { SchemaWords } from './schema/engines.ts';
import { NO_TENANT } from './segment-lander.ts';
import { TenantQuestion } from './tenant-question.ts';

/** Most segments, and most batches of the tenant, that one `tail` looks at. */
const TAIL_SEGMENTS = 500;
const TAIL_BATCHES = 500;
/** A writer's first segments may be past retention; before that age, one that is missing has yet to arrive. */
const ARRIVED_BY_US = 3_600_000_000;

interface Segment extends SegmentName {
  readonly sealedUs: number;
}

export interface BatchRow {
  readonly writer: string;
  readonly segment: string;
  readonly batch_id: string;
  readonly rows: number;
  readonly window_start_us: string;
  readonly window_end_us: string;
}

export interface TailStep {
  readonly batches: readonly BatchRow[];
  readonly position: IngestPosition;
  readonly more: boolean;
}

const named = ({ writer, segment }: SegmentName): string => `${writer}-${segment}`;

/**
 * Follows segments as they land. Each writer numbers its segments without a gap, and a segment's batches become visible
 * with the row that marks it: whoever reads every writer's segments in sequence, and stops at the first that is not there
 * yet, misses nothing and repeats nothing, whichever replica answers.
 */
export class FlowTailing {
  readonly #session: ClickHouseSession;
  readonly #words: SchemaWords;
  /** Segments belong to the installation: their rows say that they landed, and nothing about any tenant. */
  readonly #installation = systemContext(parseTenantId(NO_TENANT), 'flow-store');

  constructor(session: ClickHouseSession, words: SchemaWords) {
    this.#session = session;
    this.#words = words;
  }

  async now(): Promise<IngestPosition> {
    const question = this.#ask(this.#installation);
    const rows = await question.rows<{ writer: string; last: string }>(`SELECT writer, max(segment) AS last ${question.from('flow_batch')} GROUP BY writer`);
    return positionOf({ read: new Map(rows.map(({ writer, last }) => [writer, Number(last)])) });
  }

  /** For every writer the last segment that was sealed before `us`. */
  async positionAt(us: number): Promise<IngestPosition> {
    const question = this.#ask(this.#installation);
    const from = question.from('flow_batch', [`sealed_us < ${question.add('UInt64', Math.max(0, Math.trunc(us)))}`]);
    const rows = await question.rows<{ writer: string; last: string }>(`SELECT writer, max(segment) AS last ${from} GROUP BY writer`);
    return positionOf({ read: new Map(rows.map(({ writer, last }) => [writer, Number(last)])) });
  }

  /** The next whole batches of the tenant, up to `limit` rows, at least one when there is any. */
  async step(context: TenantContext, position: IngestPosition, limit: number): Promise<TailStep> {
    const place = placeOf(position);
    const segments = await this.#segmentsAfter(place);
    if (segments.length === 0) return { batches: [], position, more: false };
    const found = await this.#batchesOf(context, segments, place);
    const batches = await this.#whole(context, takeBatches(found, limit));
    const last = batches.at(-1);
    const all = batches.length === found.length && found.length < TAIL_BATCHES;
    if (last === undefined && !all) return { batches, position, more: false };
    return { batches, position: positionOf(all ? passed(place, segments) : upTo(place, segments, last)), more: !all || segments.length === TAIL_SEGMENTS };
  }

  async tail(context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>, position: IngestPosition, limit: number): Promise<FlowTail> {
    const step = await this.step(context, position, limit);
    return { flows: await this.#rowsOf(context, query, step.batches), position: step.position, more: step.more };
  }

  #ask(context: TenantContext): TenantQuestion {
    return new TenantQuestion(this.#session, this.#words, context);
  }

  /** Segments that can be read now, in the order in which they were sealed. */
  async #segmentsAfter(place: IngestPlace): Promise<Segment[]> {
    const question = this.#ask(this.#installation);
    const known = [...place.read].map(([writer, segment]) => `(writer = ${question.add('String', writer)} AND segment > ${question.add('UInt64', segment)})`);
    const others = `NOT has(${question.add('Array(String)', [...place.read.keys()])}, writer)`;
    const rows = await question.rows<{ writer: string; segment: string; sealed_us: string }>(
      `SELECT DISTINCT writer, segment, sealed_us ${question.from('flow_batch', [[others, ...known].join(' OR ')])} ORDER BY sealed_us, writer, segment LIMIT ${TAIL_SEGMENTS}`,
    );
    const nowUs = Date.now() * 1000;
    const reached = new Map(place.read);
    const there: Segment[] = [];
    for (const { writer, segment, sealed_us: sealed } of rows) {
      const one = { writer, segment: Number(segment), sealedUs: Number(sealed) };
      const follows = one.segment === (reached.get(writer) ?? 0) + 1;
      if (!follows && nowUs - one.sealedUs < ARRIVED_BY_US) continue;
      reached.set(writer, one.segment);
      there.push(one);
    }
    return there;
  }

  async #batchesOf(context: TenantContext, segments: readonly Segment[], { within }: IngestPlace): Promise<BatchRow[]> {
    const question = this.#ask(context);
    const spans = [...Map.groupBy(segments, ({ writer }) => writer)].map(([writer, own]) => {
      const numbers = own.map(({ segment }) => segment);
      return `(writer = ${question.add('String', writer)} AND segment >= ${question.add('UInt64', Math.min(...numbers))} AND segment <= ${question.add('UInt64', Math.max(...numbers))})`;
    });
    const read = within === undefined ? [] : [`NOT (writer = ${question.add('String', within.writer)} AND segment = ${question.add('UInt64', within.segment)} AND batch_id <= ${question.add('UInt64', within.batch)})`];
    const rows = await question.rows<BatchRow>(
      `SELECT writer, segment, batch_id, rows, window_start_us, window_end_us ${question.from('flow_batch', [spans.join(' OR '), ...read])}
        ORDER BY sealed_us, writer, segment, batch_id LIMIT ${TAIL_BATCHES}`,
    );
    return [...rows];
  }

  /** Batches whose rows this replica has; those behind the first that it lacks wait. */
  async #whole(context: TenantContext, batches: readonly BatchRow[]): Promise<readonly BatchRow[]> {
    const asked = batches.filter(({ rows }) => rows > 0);
    if (asked.length === 0) return batches;
    const question = this.#ask(context);
    const rows = await question.rows<{ batch_id: string; n: string }>(`SELECT batch_id, count() AS n ${question.from('flow', batchConditions(question, asked))} GROUP BY batch_id`);
    const counts = new Map(rows.map(({ batch_id: id, n }) => [id, Number(n)]));
    const oldUs = (Date.now() - 3_600_000) * 1000;
    // Rows of a batch may also be gone because their day is.
    const missing = batches.findIndex((batch) => batch.rows > 0 && (counts.get(batch.batch_id) ?? 0) < batch.rows && Number(batch.window_end_us) > oldUs);
    return missing < 0 ? batches : batches.slice(0, missing);
  }

  async #rowsOf(context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>, batches: readonly BatchRow[]): Promise<FlowTail['flows']> {
    const asked = batches.filter(({ rows }) => rows > 0);
    if (asked.length === 0) return [];
    const question = this.#ask(context);
    const conditions = [...batchConditions(question, asked), ...visible(question, context, query)];
    const rows = await question.rows<FlowRow>(`SELECT ${FLOW_ROW_COLUMNS} ${question.from('flow', conditions)} ORDER BY batch_id, row`);
    const order = new Map(asked.map(({ batch_id: id }, index) => [id, index]));
    const sorted = rows.toSorted((a, b) => (order.get(a.batch_id) ?? 0) - (order.get(b.batch_id) ?? 0) || a.row - b.row);
    return nameFlows(() => this.#ask(context), sorted);
  }
}

/** Condition on `flow` for the rows of these batches. */
export function batchConditions(question: TenantQuestion, batches: readonly BatchRow[]): string[] {
  const since = Math.min(...batches.map((batch) => Number(batch.window_start_us)));
  const until = Math.max(...batches.map((batch) => Number(batch.window_end_us)));
  return [...timeConditions(question, since, until + 1), `batch_id IN (${batches.map(({ batch_id: id }) => BigInt(id).toString()).join(', ')})`];
}

/** Whole batches until `limit` rows; at least one. */
function takeBatches(batches: readonly BatchRow[], limit: number): readonly BatchRow[] {
  let rows = 0;
  const end = batches.findIndex((batch, index) => (rows += batch.rows) > limit && index > 0);
  return end < 0 ? batches : batches.slice(0, end);
}

/** Everything up to and with these segments is read. */
function passed(place: IngestPlace, segments: readonly Segment[]): IngestPlace {
  const read = new Map(place.read);
  for (const { writer, segment } of segments) read.set(writer, Math.max(segment, read.get(writer) ?? 0));
  return { read };
}

/** Everything before the last batch's segment is read, and that one up to the batch. */
function upTo(place: IngestPlace, segments: readonly Segment[], last: BatchRow | undefined): IngestPlace {
  if (last === undefined) return place;
  const own = { writer: last.writer, segment: Number(last.segment) };
  const before = segments.slice(0, segments.findIndex((segment) => named(segment) === named(own)));
  return { ...passed(place, before), within: { ...own, batch: last.batch_id } };
}
