import type { Logger } from '@palisade/nest-kit';

/**
 * Runs one piece of work when it is asked to and at least every `everyMs`; never twice at once. A call while it runs
 * makes it run once more afterwards, `leastMs` later at the earliest. A failure is logged and tried again with the next turn.
 */
export class Periodic {
  readonly #name: string;
  readonly #work: () => Promise<void>;
  readonly #everyMs: number;
  readonly #logger: Logger;
  #timer: NodeJS.Timeout | undefined;
  readonly #leastMs: number;
  #running: Promise<void> | undefined;
  #again = false;
  #stopped = false;

  constructor(options: { readonly name: string; readonly everyMs: number; readonly leastMs?: number; readonly work: () => Promise<void>; readonly logger: Logger }) {
    this.#name = options.name;
    this.#work = options.work;
    this.#everyMs = options.everyMs;
    this.#logger = options.logger;
    this.#leastMs = options.leastMs ?? 0;
  }

  /** Now, or right after the run that is under way. */
  wake(): void {
    if (this.#stopped) return;
    this.#again = true;
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#again = false;
    // A pause between two runs ends with the process; only work that is under way is waited for.
    await Promise.race([this.#running, new Promise((resolve) => setTimeout(resolve, 3_000).unref())]);
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    clearTimeout(this.#timer);
    while (this.#again) {
      this.#again = false;
      try {
        await this.#work();
      } catch (error) {
        this.#logger.warn({ err: error, work: this.#name }, 'background work failed and is tried again');
      }
      if (this.#leastMs > 0 && !this.#stopped) await new Promise((resolve) => (this.#timer = setTimeout(resolve, this.#leastMs)));
    }
    this.#running = undefined;
    if (!this.#stopped) this.#timer = setTimeout(() => this.wake(), this.#everyMs);
  }
}
