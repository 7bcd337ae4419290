import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { FlowExporter, type FlowExporterParts } from './flow-exporter.ts';
import { FlowSender, type FlowChannel } from './flow-sender.ts';

export interface FlowPipelineParts extends FlowExporterParts {
  readonly channel: FlowChannel;
  /** How often the kernel is drained. Default 200 ms. */
  readonly drainEveryMs?: number;
  /** How long a batch collects. Default 1 s. */
  readonly windowMs?: number;
}

/** The agent's flow loop: kernel → names → disk → gateway. It fails alone: nothing here stops enforcement. */
export class FlowPipeline {
  readonly #parts: FlowPipelineParts;
  readonly #exporter: FlowExporter;
  readonly #sender: FlowSender;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(parts: FlowPipelineParts) {
    this.#parts = parts;
    this.#exporter = new FlowExporter(parts);
    this.#sender = new FlowSender({
      spool: this.#exporter.spool,
      channel: parts.channel,
      onRefused: (account) => this.#exporter.refused(account),
      ...(parts.log === undefined ? {} : { log: parts.log }),
    });
  }

  start(): void {
    this.#running ??= this.#run();
    this.#sender.start();
  }

  /** Brings what was drained to disk and stops. What is not acknowledged is sent after the next start. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#sender.stop();
    this.#exporter.close();
  }

  async #run(): Promise<void> {
    const { drainEveryMs = 200, windowMs = 1_000 } = this.#parts;
    let windowEnds = Date.now() + windowMs;
    while (!this.#stop.signal.aborted) {
      const more = await this.#attempt(() => this.#exporter.drain(), false);
      if (Date.now() >= windowEnds) {
        await this.#attempt(() => this.#exporter.flush(), 0);
        windowEnds = Date.now() + windowMs;
      }
      // Under a flood the rest of the agent still gets its turn.
      if (more) await nextTurn();
      else await delay(drainEveryMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
    await this.#attempt(() => this.#exporter.drain(), false);
    await this.#attempt(() => this.#exporter.flush(), 0);
  }

  async #attempt<Result>(work: () => Promise<Result>, otherwise: Result): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      this.#parts.log?.(`Flows could not be read from the kernel: ${(error as Error).message}`);
      return otherwise;
    }
  }
}
