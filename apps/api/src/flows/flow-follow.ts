import { setTimeout as delay } from 'node:timers/promises';
import type { FlowQuery, FlowTail, IngestPosition, ReadFlows, StoredFlow } from '@palisade/control';
import { isDomainError } from '@palisade/errors';
import type { FlowCoverage } from '@palisade/flow';
import type { TenantContext } from '@palisade/tenancy';

export interface FollowedFlows {
  readonly flows: readonly StoredFlow[];
  /** Where to go on after these; every flow committed later comes after it, whatever its time. */
  readonly position: IngestPosition;
  /** Now and then: what is lacking of a window that ends now. The windows follow each other without a gap. */
  readonly covered?: CoveredWindow;
}

export interface CoveredWindow {
  readonly sinceUs: number;
  readonly untilUs: number;
  readonly coverage: FlowCoverage;
}

export interface FollowPace {
  /** A yield at least this often, also without flows, so that a listener can tell silence from a dead connection. */
  readonly idleMs?: number;
  readonly coverEveryMs?: number;
  /** The first window that is told of begins here, and is told of at once; absent: it begins now. */
  readonly coverSinceUs?: number;
}

type Question = Pick<FlowQuery, 'clusterId' | 'selection'>;

const POLL_MS = 500;
const PORTION = 500;
const TELL_MS = 10_000;

/** Flows as they are committed, in order of ingest, until the signal; and what of them was lost or sampled on the way. */
export async function* followFlows(reader: ReadFlows, context: TenantContext, query: Question, from: IngestPosition, signal: AbortSignal, pace: FollowPace = {}): AsyncGenerator<FollowedFlows> {
  const { idleMs = TELL_MS, coverEveryMs = TELL_MS, coverSinceUs } = pace;
  let position = from;
  let quietSince = Date.now();
  let coveredUs = coverSinceUs ?? quietSince * 1000;
  while (!signal.aborted) {
    const tail = await nextTail(reader, context, query, position);
    ({ position } = tail);
    const nowUs = Date.now() * 1000;
    const covered = nowUs - coveredUs < coverEveryMs * 1000 ? undefined : await coverageOf(reader, context, query, coveredUs, nowUs);
    if (tail.flows.length > 0 || covered !== undefined || nowUs / 1000 - quietSince >= idleMs) {
      yield { flows: tail.flows, position, ...(covered === undefined ? {} : { covered }) };
      coveredUs = covered?.untilUs ?? coveredUs;
      quietSince = Date.now();
    }
    if (!tail.more) await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Undefined while the store is busy: the window is told of later, and is longer then. */
async function coverageOf(reader: ReadFlows, context: TenantContext, { clusterId }: Question, sinceUs: number, untilUs: number): Promise<CoveredWindow | undefined> {
  try {
    return { sinceUs, untilUs, coverage: await reader.coverage(context, { sinceUs, untilUs, ...(clusterId === undefined ? {} : { clusterId }) }) };
  } catch (error) {
    if (!isDomainError(error, 'service.unavailable')) throw error;
    return undefined;
  }
}

/** A store that is busy or restarts does not end the following: it goes on from where it was. */
async function nextTail(reader: ReadFlows, context: TenantContext, query: Question, position: IngestPosition): Promise<FlowTail> {
  try {
    return await reader.tail(context, query, position, PORTION);
  } catch (error) {
    if (!isDomainError(error, 'service.unavailable')) throw error;
    return { flows: [], position, more: false };
  }
}

/** A position as text, for cursors. */
export function ingestPositionText({ commit, batch }: IngestPosition): string {
  return `${commit}.${batch}`;
}

export function parseIngestPosition(text: string): IngestPosition | undefined {
  // What the commit says is the store's own business; cursors are signed.
  const match = /^([0-9a-f_!-]{1,8000})\.(\d{1,19})$/.exec(text);
  return match === null ? undefined : { commit: match[1] ?? '0', batch: match[2] ?? '0' };
}
