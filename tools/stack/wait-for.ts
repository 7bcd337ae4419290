import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  readonly withinMs: number;
  readonly everyMs?: number;
  /** More for the message when the time is over: what was there instead, which log to read. */
  readonly otherwise?: () => string | Promise<string>;
}

/**
 * Waits until `condition` gives something other than undefined or false.
 *
 * @param what completes the sentence "Waited … s for …".
 * @throws when the time is over, or at once what `condition` throws.
 */
export async function waitFor<T>(
  what: string,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
  options: WaitOptions,
): Promise<T> {
  const deadline = performance.now() + options.withinMs;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (performance.now() >= deadline) break;
    await delay(options.everyMs ?? 100);
  }
  const more = await options.otherwise?.();
  throw new Error(`Waited ${options.withinMs / 1000} s for ${what}.${more === undefined ? '' : ` ${more}`}`);
}
