import { describe, expect, it } from 'vitest';
import { readSlices, type SliceReader, type TimeSlice } from './window-slices.ts';

const MINUTE_US = 60_000_000;
const DAY_US = 1440 * MINUTE_US;
const NOW_US = 400 * DAY_US;
const MONTH: TimeSlice = { sinceUs: NOW_US - 30 * DAY_US, untilUs: NOW_US };

/** A store with flows at these instants, of which some are wanted; every statement takes so long. */
function storeOf(stored: readonly number[], wanted: readonly number[], statementMs = 2) {
  const asked = { reads: 0, statements: 0, ms: 0 };
  const statement = (): void => {
    asked.statements++;
    asked.ms += statementMs;
  };
  const within = (times: readonly number[], { sinceUs, untilUs }: TimeSlice): number[] => times.filter((us) => us >= sinceUs && us < untilUs);
  const reader = (order: 'newest' | 'oldest'): SliceReader<number> => {
    const sorted = (times: number[]): number[] => times.toSorted((a, b) => (order === 'newest' ? b - a : a - b));
    return {
      read: (slice, limit) => {
        asked.reads++;
        statement();
        return Promise.resolve(sorted(within(wanted, slice)).slice(0, limit));
      },
      nearest: (slice) => {
        statement();
        return Promise.resolve(sorted(within(stored, slice))[0]);
      },
      clock: () => asked.ms,
    };
  };
  return { asked, find: (order: 'newest' | 'oldest', window = MONTH, limit = 10) => readSlices(reader(order), window, order, limit, NOW_US) };
}

describe('slices of a window', () => {
  it.each(['newest', 'oldest'] as const)('find the one flow of an empty month in three reads, %s first', async (order) => {
    const only = NOW_US - 17 * DAY_US;
    const { asked, find } = storeOf([only], [only]);
    expect(await find(order)).toEqual({ rows: [only] });
    // The near end, the flow, and what follows it; the empty rest is passed over on both sides.
    expect(asked).toMatchObject({ reads: 3, statements: 5 });
  });

  it('end at once where nothing is stored', async () => {
    const { asked, find } = storeOf([], []);
    expect(await find('newest')).toEqual({ rows: [] });
    expect(asked.statements).toBe(2);
  });

  it('grow while nothing is wanted of what is stored, and ask only once whether it is there', async () => {
    const stored = Array.from({ length: 30 * 288 }, (_, index) => MONTH.sinceUs + index * 5 * MINUTE_US);
    const { asked, find } = storeOf(stored, [MONTH.sinceUs]);
    expect(await find('newest')).toEqual({ rows: [MONTH.sinceUs] });
    expect(asked.statements - asked.reads).toBe(1);
    expect(asked.reads).toBeLessThanOrEqual(8);
  });

  it('give a page as it is when time runs out, and say how far they came', async () => {
    const stored = Array.from({ length: 30 * 288 }, (_, index) => MONTH.sinceUs + index * 5 * MINUTE_US);
    const { asked, find } = storeOf(stored, [MONTH.sinceUs], 90);
    const { rows, reachedUs } = await find('newest');
    expect(rows).toEqual([]);
    expect(reachedUs).toBeLessThan(MONTH.untilUs);
    expect(asked.statements).toBe(2);
    // The next page goes on from there.
    const next = await storeOf(stored, [MONTH.sinceUs]).find('newest', { ...MONTH, untilUs: reachedUs ?? 0 });
    expect(next.rows).toEqual([MONTH.sinceUs]);
  });

  it('stop when the page is full', async () => {
    const stored = Array.from({ length: 50 }, (_, index) => NOW_US - index * MINUTE_US - 1);
    const { find } = storeOf(stored, stored);
    expect((await find('newest', MONTH, 12)).rows).toEqual(stored.slice(0, 12));
  });

  it('look through what has not happened yet together with the first slice', async () => {
    const { asked, find } = storeOf([NOW_US - 1], [NOW_US - 1]);
    expect((await find('newest', { ...MONTH, untilUs: NOW_US + 5 * DAY_US }, 1)).rows).toEqual([NOW_US - 1]);
    expect(asked.statements).toBe(1);
  });
});
