/**
 * How a page of a long window is found: slice by slice from its near end, so that the newest flows cost what they are worth
 * and not what the window holds. Pure but for the clock and the reader it is given.
 */
import type { FlowOrder } from '@palisade/control';

/** Unix microseconds; `untilUs` is not included. */
export interface TimeSlice {
  readonly sinceUs: number;
  readonly untilUs: number;
}

export interface SliceReader<Row> {
  /** What of a slice is wanted, nearest first, at most `limit`. */
  readonly read: (slice: TimeSlice, limit: number) => Promise<readonly Row[]>;
  /** The nearest stored flow, wanted or not, or an instant a little before it as seen from the near end; undefined: nothing is stored. Has to be cheap. */
  readonly nearest: (slice: TimeSlice) => Promise<number | undefined>;
  /** Milliseconds. */
  readonly clock: () => number;
}

export interface FoundRows<Row> {
  readonly rows: readonly Row[];
  /** How far was looked when time ran out; undefined when all of the window was, or the page is full. */
  readonly reachedUs?: number;
}

const FIRST_SLICE_US = 600_000_000;
const SLICE_GROWTH = 4;
/** After this, a page is given as it is: seldom flows are found over several pages rather than in one long query. */
const PAGE_BUDGET_MS = 150;
/** A slice that would have to be narrower than this share of the one before it is left to the next page. */
const LEAST_SHARE = 0.5;

/**
 * Looks through the window until there are `limit` rows, the window ends, or time runs out. Stretches in which nothing is
 * stored are passed over, however long.
 * @param nowUs what lies after it has not happened yet and is free to look through
 */
export async function readSlices<Row>({ read, nearest, clock }: SliceReader<Row>, window: TimeSlice, order: FlowOrder, limit: number, nowUs: number): Promise<FoundRows<Row>> {
  const startedAt = clock();
  const rows: Row[] = [];
  let rest = window;
  let width = FIRST_SLICE_US;
  let ahead = order === 'newest' ? Math.max(0, window.untilUs - nowUs) : 0;
  for (let mayBeEmpty = true; ; ) {
    const slice = nearPart(rest, order, width + ahead);
    const sliceAt = clock();
    const found = await read(slice, limit - rows.length);
    rows.push(...found);
    rest = farPart(rest, slice, order);
    if (rows.length >= limit || rest.sinceUs >= rest.untilUs) return { rows };
    if (found.length === 0 && mayBeEmpty) {
      const passed = await passEmpty(nearest, rest, order);
      if (passed === undefined) return { rows };
      // Where little was passed over flows are stored throughout, and only seldom wanted: not asked again.
      mayBeEmpty = lengthOf(rest) - lengthOf(passed) > width;
      rest = passed;
    }
    // As wide as the time left allows, going by what the slice before took.
    const now = clock();
    const share = (PAGE_BUDGET_MS - (now - startedAt)) / Math.max(1, now - sliceAt);
    if (share < LEAST_SHARE) return { rows, reachedUs: order === 'newest' ? rest.untilUs : rest.sinceUs };
    width = Math.ceil(width * Math.min(SLICE_GROWTH, share));
    ahead = 0;
  }
}

function lengthOf({ sinceUs, untilUs }: TimeSlice): number {
  return untilUs - sinceUs;
}

function nearPart({ sinceUs, untilUs }: TimeSlice, order: FlowOrder, width: number): TimeSlice {
  return order === 'newest' ? { sinceUs: Math.max(sinceUs, untilUs - width), untilUs } : { sinceUs, untilUs: Math.min(untilUs, sinceUs + width) };
}

function farPart({ sinceUs, untilUs }: TimeSlice, near: TimeSlice, order: FlowOrder): TimeSlice {
  return order === 'newest' ? { sinceUs, untilUs: near.sinceUs } : { sinceUs: near.untilUs, untilUs };
}

/** The rest from the nearest stored flow on; undefined when there is none. */
async function passEmpty(nearest: SliceReader<never>['nearest'], rest: TimeSlice, order: FlowOrder): Promise<TimeSlice | undefined> {
  const us = await nearest(rest);
  if (us === undefined) return undefined;
  return order === 'newest' ? { sinceUs: rest.sinceUs, untilUs: Math.min(rest.untilUs, us + 1) } : { sinceUs: Math.max(rest.sinceUs, us), untilUs: rest.untilUs };
}
