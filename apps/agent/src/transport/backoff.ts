/** Longest wait between two attempts (trust-and-fleet §4). */
export const MAX_BACKOFF_MS = 10 * 60_000;
const BASE_MS = 500;
/** Where the gateway has named no window: a small fleet. */
export const DEFAULT_RECONNECT_WINDOW_MS = 2_000;

/**
 * Waits between attempts: the first after a loss is uniform over the reconnect window that the gateway named (so that a
 * restarted gateway meets its fleet spread out), the next ones are full-jitter exponential with a cap. What the gateway
 * asks for with Retry-After is the least that is waited.
 */
export class Backoff {
  readonly #random: () => number;
  #attempt = 0;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  reset(): void {
    this.#attempt = 0;
  }

  /** @returns milliseconds to wait before the next attempt */
  next(options: { readonly windowMs?: number; readonly retryAfterMs?: number } = {}): number {
    const attempt = this.#attempt;
    this.#attempt += 1;
    const least = Math.min(options.retryAfterMs ?? 0, MAX_BACKOFF_MS);
    const span = attempt === 0 ? (options.windowMs ?? DEFAULT_RECONNECT_WINDOW_MS) : Math.min(MAX_BACKOFF_MS, BASE_MS * 2 ** Math.min(attempt, 30));
    return Math.min(MAX_BACKOFF_MS, least + this.#random() * span);
  }
}
