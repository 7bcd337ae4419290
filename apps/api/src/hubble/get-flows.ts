import { create } from '@bufbuild/protobuf';
import type { FlowPosition, FlowQuery, IngestPosition, ReadFlows, StoredFlow } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import type { FlowCoverage } from '@palisade/flow';
import type { TenantContext } from '@palisade/tenancy';
import { followFlows } from '../flows/flow-follow.ts';
import { fieldMask } from './field-mask.ts';
import { FlowSchema, LostEventSource, type Flow } from './generated/flow/flow_pb.ts';
import { GetFlowsResponseSchema, type GetFlowsRequest, type GetFlowsResponse } from './generated/observer/observer_pb.ts';
import { HubbleSelection } from './hubble-filter.ts';
import { hubbleFlow, hubbleTime, microseconds, nodeName } from './hubble-flow.ts';

const HOUR_US = 3_600_000_000;
const FUTURE_US = 600_000_000;
const PAGE = 500;
/** Last flows up to this number are put in order in memory; of more, the beginning is found first. */
const KEPT = 5_000;
/** How far back a question goes that does not say: all that is usually kept. */
const ALL_US = 8 * 24 * HOUR_US;

interface Question {
  readonly selection: HubbleSelection;
  readonly mask: (flow: Flow) => Flow;
  readonly sinceUs: number;
  readonly untilUs: number;
  /** 0: all of the window. */
  readonly number: number;
  readonly first: boolean;
  readonly follow: boolean;
  /** Whether anything that happened before the call is wanted. */
  readonly history: boolean;
}

/** @throws DomainError `request.invalid` */
function questionOf(request: GetFlowsRequest): Question {
  const [unknown] = [...(request.$unknown ?? []), ...(request.experimental?.$unknown ?? [])];
  if (unknown !== undefined) throw new DomainError('request.invalid', `This server does not know field number ${unknown.no} of a request for flows: leave it out, or use an older client.`);
  const nowUs = Date.now() * 1000;
  const untilUs = request.until === undefined ? nowUs + FUTURE_US : microseconds(request.until);
  const paths = request.fieldMask?.paths ?? request.experimental?.fieldMask?.paths ?? [];
  return {
    selection: new HubbleSelection(request.whitelist, request.blacklist),
    mask: fieldMask(FlowSchema, paths),
    sinceUs: request.since === undefined ? Math.min(nowUs, untilUs) - ALL_US : microseconds(request.since),
    untilUs,
    // `hubble observe --all` asks for 2^64 - 1.
    number: request.number > BigInt(Number.MAX_SAFE_INTEGER) ? 0 : Number(request.number),
    first: request.first,
    follow: request.follow && request.until === undefined,
    history: !request.follow || request.number > 0n || request.since !== undefined,
  };
}

function flowResponse(flow: StoredFlow, mask: Question['mask']): GetFlowsResponse {
  return create(GetFlowsResponseSchema, { responseTypes: { case: 'flow', value: mask(hubbleFlow(flow)) }, nodeName: nodeName(flow), time: hubbleTime(flow.lastSeenUs) });
}

/** What agents counted as lost. Flows left out by sampling are stood for by others, so they are not lost. */
function* lostResponses({ losses }: FlowCoverage): Generator<GetFlowsResponse> {
  const { 'ring-full': ring = 0, ...others } = losses;
  const rest = Object.values(others).reduce((sum, count) => sum + count, 0);
  for (const [source, count] of [[LostEventSource.PERF_EVENT_RING_BUFFER, ring], [LostEventSource.OBSERVER_EVENTS_QUEUE, rest]] as const) {
    if (count > 0) yield create(GetFlowsResponseSchema, { responseTypes: { case: 'lostEvents', value: { source, numEventsLost: BigInt(count) } }, time: hubbleTime(Date.now() * 1000) });
  }
}

/** Answers a GetFlows call: what was, then, when asked to follow, what comes. Ends with the signal. @throws DomainError */
export async function* getFlows(reader: ReadFlows, context: TenantContext, request: GetFlowsRequest, signal: AbortSignal): AsyncGenerator<GetFlowsResponse> {
  const question = questionOf(request);
  // Before history is read: what is committed meanwhile is then found by following, and told once.
  const position = question.follow ? await reader.now(context) : undefined;
  const told = new Set<string>();
  if (question.history) {
    yield* lostResponses(await reader.coverage(context, question));
    for await (const flow of history(reader, context, question)) {
      if (position !== undefined) remember(told, flow.id);
      yield flowResponse(flow, question.mask);
    }
  }
  if (position !== undefined) yield* following(reader, context, question, position, told, signal);
}

/** Only what is committed while history is read can come again: the newest ids are enough. */
const REMEMBERED = 100_000;

function remember(told: Set<string>, id: string): void {
  told.add(id);
  if (told.size <= REMEMBERED) return;
  for (const oldest of told) {
    told.delete(oldest);
    return;
  }
}

/** Oldest to newest, whatever was asked for. */
async function* history(reader: ReadFlows, context: TenantContext, question: Question): AsyncGenerator<StoredFlow> {
  if (question.number === 0 || question.first) {
    let count = 0;
    for await (const flow of matching(reader, context, question, 'oldest')) {
      yield flow;
      if (++count === question.number) return;
    }
    return;
  }
  if (question.number > KEPT) {
    yield* manyLast(reader, context, question);
    return;
  }
  const last: StoredFlow[] = [];
  for await (const flow of matching(reader, context, question, 'newest')) {
    last.push(flow);
    if (last.length === question.number) break;
  }
  yield* last.toReversed();
}

/** Counts back to the first of the flows that are wanted, then tells them from there: memory does not grow with their number. */
async function* manyLast(reader: ReadFlows, context: TenantContext, question: Question): AsyncGenerator<StoredFlow> {
  let count = 0;
  let start: StoredFlow | undefined;
  let end: StoredFlow | undefined;
  for await (const flow of matching(reader, context, question, 'newest')) {
    start = flow;
    end ??= flow;
    if (++count === question.number) break;
  }
  if (start === undefined || end === undefined) return;
  let begun = false;
  for await (const flow of matching(reader, context, { ...question, sinceUs: start.lastSeenUs, untilUs: end.lastSeenUs + 1 }, 'oldest')) {
    begun ||= flow.id === start.id;
    if (begun) yield flow;
    if (flow.id === end.id) return;
  }
}

async function* matching(reader: ReadFlows, context: TenantContext, question: Question, order: FlowQuery['order']): AsyncGenerator<StoredFlow> {
  const { selection, sinceUs, untilUs, number } = question;
  const limit = number === 0 ? PAGE : Math.min(PAGE, Math.max(number, 20));
  let after: FlowPosition | undefined;
  do {
    const page = await reader.list(context, { selection: selection.stored, sinceUs, untilUs, order, limit, ...(after === undefined ? {} : { after }) });
    for (const flow of page.flows) if (selection.matches(flow)) yield flow;
    after = page.next;
  } while (after !== undefined);
}

async function* following(
  reader: ReadFlows, context: TenantContext, question: Question, position: IngestPosition, told: Set<string>, signal: AbortSignal,
): AsyncGenerator<GetFlowsResponse> {
  for await (const { flows, covered } of followFlows(reader, context, { selection: question.selection.stored }, position, signal)) {
    for (const flow of flows) {
      if (question.selection.matches(flow) && flow.lastSeenUs >= (question.history ? question.sinceUs : 0) && !told.delete(flow.id)) yield flowResponse(flow, question.mask);
    }
    if (covered !== undefined) yield* lostResponses(covered.coverage);
  }
}
