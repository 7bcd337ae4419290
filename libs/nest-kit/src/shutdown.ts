import type { Logger } from './logging.ts';

/** Longer than a normal request, shorter than what an operator waits for. */
const GRACE_MS = 4_500;

/**
 * Stops the process in order on SIGTERM and SIGINT: `stop` runs once, and the process ends when it is done or after 4.5 s,
 * whichever is first. A second signal ends it at once.
 */
export function stopOnSignal(logger: Logger, stop: () => Promise<void>): void {
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(1);
    stopping = true;
    logger.info({ signal }, 'stopping');
    const timer = setTimeout(() => {
      logger.error('stopping took too long; ended with work in progress');
      process.exit(1);
    }, GRACE_MS);
    timer.unref();
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error({ err: error }, 'stopping failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}
