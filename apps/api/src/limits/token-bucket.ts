/** Fills steadily, empties by use. Time is given by the caller, in milliseconds. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #capacity: number;
  #tokens: number;
  #filledAt: number;

  constructor(perSecond: number, capacity: number, now: number) {
    this.#perSecond = perSecond;
    this.#capacity = capacity;
    this.#tokens = capacity;
    this.#filledAt = now;
  }

  /** Takes one token; false when there is none. */
  take(now: number): boolean {
    this.#fill(now);
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  remaining(now: number): number {
    this.#fill(now);
    return Math.floor(this.#tokens);
  }

  /** Seconds until there is a token again, rounded up; 0 when there is one. */
  secondsToNext(now: number): number {
    this.#fill(now);
    return this.#tokens >= 1 ? 0 : Math.ceil((1 - this.#tokens) / this.#perSecond);
  }

  isFull(now: number): boolean {
    this.#fill(now);
    return this.#tokens >= this.#capacity;
  }

  #fill(now: number): void {
    this.#tokens = Math.min(this.#capacity, this.#tokens + (Math.max(0, now - this.#filledAt) / 1000) * this.#perSecond);
    this.#filledAt = now;
  }
}
