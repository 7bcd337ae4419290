import { describe, expect, it } from 'vitest';
import { downloadDelayMs } from './bundle-intake.ts';

describe('downloadDelayMs', () => {
  it('grows with the window that the gateway names, which grows with the fleet', () => {
    expect([downloadDelayMs(120_000, 0), downloadDelayMs(120_000, 1), downloadDelayMs(1_200, 0.5)]).toEqual([5_000, 10_000, 75]);
  });

  it('is nothing before the gateway has named one', () => {
    expect(downloadDelayMs(undefined, 0.9)).toBe(0);
  });
});
