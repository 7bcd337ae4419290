import { describe, expect, it } from 'vitest';
import { mayOpenWave, nextOpening } from './maintenance-window.ts';

const at = (text: string) => Date.parse(text);
// 2026-11-21 is a Saturday.
const SATURDAY_NIGHT = { days: [6], startMinute: 23 * 60, durationMinutes: 120 };

describe('maintenance windows', () => {
  it('always open when there are none', () => expect(mayOpenWave([], 0)).toBe(true));
  it('runs past midnight and past the end of the week', () => {
    expect(mayOpenWave([SATURDAY_NIGHT], at('2026-11-21T22:59:59Z'))).toBe(false);
    expect(mayOpenWave([SATURDAY_NIGHT], at('2026-11-21T23:00:00Z'))).toBe(true);
    expect(mayOpenWave([SATURDAY_NIGHT], at('2026-11-22T00:59:00Z'))).toBe(true);
    expect(mayOpenWave([SATURDAY_NIGHT], at('2026-11-22T01:00:00Z'))).toBe(false);
  });
  it('names the next opening', () => {
    expect(nextOpening([SATURDAY_NIGHT], at('2026-11-22T01:00:30Z'))).toBe(at('2026-11-28T23:00:00Z'));
    expect(nextOpening([{ ...SATURDAY_NIGHT, days: [] }], 0)).toBeNull();
  });
});
