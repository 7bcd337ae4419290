import { describe, expect, it } from 'vitest';
import { Backoff, MAX_BACKOFF_MS } from './backoff.ts';

describe('reconnecting', () => {
  it('spreads the first attempt over the window that the gateway named', () => {
    const waits = Array.from({ length: 1000 }, () => new Backoff().next({ windowMs: 120_000 }));
    expect(Math.max(...waits)).toBeLessThan(120_000);
    expect(Math.min(...waits)).toBeLessThan(2_000);
    expect(waits.reduce((sum, wait) => sum + wait) / 1000).toBeGreaterThan(50_000);
  });

  it('then waits with full jitter, doubling, up to ten minutes', () => {
    const longest = new Backoff(() => 0.999999);
    const waits = Array.from({ length: 14 }, () => longest.next());
    expect(waits.slice(1, 4).map(Math.round)).toEqual([1000, 2000, 4000]);
    expect(Math.max(...waits)).toBeLessThanOrEqual(MAX_BACKOFF_MS);
    expect(new Backoff(() => 0).next()).toBe(0);
  });

  it('never waits less than the gateway asked for, and begins anew after a success', () => {
    const backoff = new Backoff(() => 0);
    expect(backoff.next({ retryAfterMs: 7_000 })).toBe(7_000);
    backoff.reset();
    expect(new Backoff(() => 0.5).next({ windowMs: 10 })).toBe(5);
  });
});
