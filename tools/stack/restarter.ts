import type { ManagedProcess } from './managed-process.ts';
import { logTail } from './state-folder.ts';

const MAX_RESTARTS = 5;
const WITHIN_MS = 300_000;
/** Of the log, in the message. */
const LINES = 4;

/**
 * Starts a process again that ended although nobody asked it to, and says so
 * each time. One that ends over and over is left alone: its log tells why.
 */
export class Restarter {
  readonly #tell: (sentence: string) => void;
  readonly #times = new Map<string, number[]>();
  #stopped = false;

  constructor(tell: (sentence: string) => void) {
    this.#tell = tell;
  }

  readonly onUnexpectedEnd = (process: ManagedProcess, how: string): void => {
    if (this.#stopped) return;
    const recent = (this.#times.get(process.name) ?? []).filter((at) => at > Date.now() - WITHIN_MS);
    this.#tell(`${process.name} ended with ${how}. The end of ${process.logFile}:\n${logTail(process.logFile, LINES)}`);
    if (recent.length >= MAX_RESTARTS) {
      this.#tell(`${process.name} has ended ${recent.length + 1} times in five minutes; it is not started again.`);
      return;
    }
    this.#times.set(process.name, [...recent, Date.now()]);
    this.#tell(`starting ${process.name} again (${recent.length + 1} of ${MAX_RESTARTS})`);
    process.start().then(
      () => this.#tell(`${process.name} is back`),
      (error: unknown) => this.#tell((error as Error).message),
    );
  };

  databaseEnded(how: string, logFile: string): void {
    if (!this.#stopped) this.#tell(`${how}. Nothing works without it: stop with Ctrl-C and start again. The end of ${logFile}:\n${logTail(logFile)}`);
  }

  stop(): void {
    this.#stopped = true;
  }
}
