/** A terminal's Ctrl-C can reach us more than once: directly, and passed on by those that started us. */
const SAME_KEYSTROKE_MS = 1000;

/**
 * Resolves at the first Ctrl-C (or SIGTERM, SIGHUP), so that everything can be
 * stopped in order. Another one a second later ends this process at once; what
 * it started dies with it.
 */
export function untilAskedToEnd(): Promise<undefined> {
  return new Promise((done) => {
    let first: number | undefined;
    const onSignal = (): void => {
      first ??= performance.now();
      if (performance.now() - first > SAME_KEYSTROKE_MS) process.exit(130);
      done(undefined);
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  });
}
