import { describe, expect, it } from 'vitest';
import { RateLimits } from './rate-limits.ts';

describe('RateLimits', () => {
  it('lets a burst through, then the steady rate, and says when to come back', () => {
    let now = 0;
    const limits = new RateLimits({ perSecond: 2, now: () => now });
    for (let i = 0; i < 8; i++) limits.admit('a');
    expect(() => limits.admit('a')).toThrowError(expect.objectContaining({ code: 'request.rate-limited', params: { retryAfterSeconds: 1 } }));
    now = 1_000;
    expect(limits.admit('a')['ratelimit']).toBe('"tenant";r=1;t=4');
    limits.admit('a');
    expect(() => limits.admit('a')).toThrow();
  });

  it('does not let one tenant use up another tenant\'s rate', () => {
    const limits = new RateLimits({ perSecond: 1, now: () => 0 });
    for (let i = 0; i < 4; i++) limits.admit('a');
    expect(() => limits.admit('a')).toThrow();
    expect(() => limits.admit('b')).not.toThrow();
  });

  it('shuts out an address after a hundred wrong tokens, and lets it in again later', () => {
    let now = 0;
    const limits = new RateLimits({ perSecond: 1, now: () => now });
    for (let i = 0; i < 100; i++) {
      limits.admitUnknown('192.0.2.1');
      limits.chargeUnknown('192.0.2.1');
    }
    expect(() => limits.admitUnknown('192.0.2.1')).toThrow();
    expect(() => limits.admitUnknown('192.0.2.2')).not.toThrow();
    now = 1_000;
    expect(() => limits.admitUnknown('192.0.2.1')).not.toThrow();
  });
});
