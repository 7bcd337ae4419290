import { DomainError } from '@palisade/errors';
import { TokenBucket } from './token-bucket.ts';

const BURST_SECONDS = 4;
/** Wrong tokens per second and address; enough for a misconfigured client, too few for guessing. */
const UNKNOWN_PER_SECOND = 5;
const UNKNOWN_BURST = 100;
const MAX_BUCKETS = 50_000;

/**
 * Rates per tenant, and of failed authentication per address. Counted in this process: n processes let n times as much through.
 * Headers follow draft-ietf-httpapi-ratelimit-headers.
 */
export class RateLimits {
  readonly #perSecond: number;
  readonly #now: () => number;
  readonly #tenants = new Map<string, TokenBucket>();
  readonly #addresses = new Map<string, TokenBucket>();

  constructor(options: { readonly perSecond: number; readonly now: () => number }) {
    this.#perSecond = options.perSecond;
    this.#now = options.now;
  }

  /** Counts a request of a tenant. Throws `request.rate-limited`. */
  admit(tenantId: string): Record<string, string> {
    const now = this.#now();
    const burst = this.#perSecond * BURST_SECONDS;
    const bucket = bucketOf(this.#tenants, tenantId, () => new TokenBucket(this.#perSecond, burst, now), now);
    if (!bucket.take(now)) throw rateLimited(bucket.secondsToNext(now));
    return {
      'ratelimit-policy': `"tenant";q=${burst};w=${BURST_SECONDS}`,
      ratelimit: `"tenant";r=${bucket.remaining(now)};t=${BURST_SECONDS}`,
    };
  }

  /** Throws `request.rate-limited` when the address has sent too many wrong tokens. */
  admitUnknown(address: string): void {
    const now = this.#now();
    const bucket = this.#addresses.get(address);
    if (bucket !== undefined && bucket.remaining(now) < 1) throw rateLimited(bucket.secondsToNext(now));
  }

  /** Counts a wrong token from an address. */
  chargeUnknown(address: string): void {
    const now = this.#now();
    bucketOf(this.#addresses, address, () => new TokenBucket(UNKNOWN_PER_SECOND, UNKNOWN_BURST, now), now).take(now);
  }
}

function rateLimited(seconds: number): DomainError {
  return new DomainError('request.rate-limited', `Too many requests: wait ${seconds} s, then go on more slowly.`, { params: { retryAfterSeconds: Math.max(1, seconds) } });
}

/** Buckets that are full again say nothing any more; they are dropped when there are too many. */
function bucketOf(buckets: Map<string, TokenBucket>, key: string, create: () => TokenBucket, now: number): TokenBucket {
  const known = buckets.get(key);
  if (known !== undefined) return known;
  if (buckets.size >= MAX_BUCKETS) {
    for (const [old, bucket] of buckets) if (bucket.isFull(now)) buckets.delete(old);
    // Still full of busy ones: the oldest starts anew rather than memory growing.
    const [oldest] = buckets.keys();
    if (buckets.size >= MAX_BUCKETS && oldest !== undefined) buckets.delete(oldest);
  }
  const created = create();
  buckets.set(key, created);
  return created;
}
