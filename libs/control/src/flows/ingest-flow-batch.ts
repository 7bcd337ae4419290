import { isDomainError } from '@palisade/errors';
import { DEFAULT_FLOW_PRIVACY, redactColumns } from '@palisade/flow';
import type { FlowPrivacySource } from './flow-privacy.ts';
import { FlowQueue, type FlowQueueLimits } from './flow-queue.ts';
import { FlowQuotas, NO_FLOW_QUOTA } from './flow-quotas.ts';
import type { FlowAppendOutcome, FlowSink, SentFlowBatch } from './flow-store.ts';

export type FlowIngestOutcome = FlowAppendOutcome | { readonly kind: 'deferred'; readonly retryAfterMs: number };

export interface FlowIngestAnswer {
  readonly outcome: FlowIngestOutcome;
  /** Batches the sender may have under way from now on. */
  readonly credit: number;
}

export interface FlowIngestOptions extends FlowQueueLimits {
  /** Rows that one commit takes at most. */
  readonly commitRows: number;
  /** Commits under way at once. */
  readonly commits: number;
  /** How long a sender waits after a failed commit. */
  readonly retryAfterMs: number;
}

export const DEFAULT_FLOW_INGEST: FlowIngestOptions = {
  queueRows: 200_000, tenantRows: 100_000, commitRows: 50_000, commits: 2, retryAfterMs: 1_000,
};

const FULL_CREDIT = 4;

interface Waiting extends SentFlowBatch {
  readonly answer: (outcome: FlowIngestOutcome) => void;
}

/** Counters since start; `queuedRows` is now. */
export interface FlowIngestFigures {
  readonly queuedRows: number;
  readonly storedRows: number;
  readonly duplicates: number;
  /** For want of room, or because a commit failed. */
  readonly deferred: number;
  /** Because the tenant sent more than its quota. */
  readonly overQuota: number;
  readonly refused: number;
  readonly commits: number;
}

/**
 * Takes agents' batches in and stores many of them with one commit. Waiting batches are bounded by rows, in all and per
 * tenant; over the bound they are deferred (the agent keeps them), never dropped. Tenants take turns in every commit.
 */
export class IngestFlowBatch {
  readonly #sink: FlowSink;
  readonly #quotas: FlowQuotas;
  readonly #privacy: FlowPrivacySource;
  readonly #options: FlowIngestOptions;
  readonly #queue: FlowQueue<Waiting>;
  #running = 0;
  /** Batches whose tenant is being asked about. */
  #arriving = 0;
  #closing = false;
  readonly #figures = { storedRows: 0, duplicates: 0, deferred: 0, overQuota: 0, refused: 0, commits: 0 };
  #idle: (() => void)[] = [];

  /** @param ports without `privacy`, everything that can be redacted is */
  constructor(ports: { readonly sink: FlowSink; readonly privacy?: FlowPrivacySource; readonly quotas?: FlowQuotas; readonly options?: Partial<FlowIngestOptions> }) {
    this.#sink = ports.sink;
    this.#quotas = ports.quotas ?? new FlowQuotas(() => NO_FLOW_QUOTA);
    this.#privacy = ports.privacy ?? { of: () => Promise.resolve(DEFAULT_FLOW_PRIVACY) };
    this.#options = { ...DEFAULT_FLOW_INGEST, ...ports.options };
    this.#queue = new FlowQueue(this.#options);
  }

  /** Fulfils when the batch is durable, known already, refused, or deferred. Never rejects. */
  async execute(asSent: SentFlowBatch): Promise<FlowIngestAnswer> {
    const waitMs = this.#quotas.take(asSent);
    if (waitMs > 0) {
      this.#figures.overQuota++;
      return { outcome: { kind: 'deferred', retryAfterMs: waitMs }, credit: 0 };
    }
    const sent = this.#closing ? undefined : await this.#redacted(asSent);
    const outcome = await new Promise<FlowIngestOutcome>((answer) => {
      if (sent === undefined || !this.#queue.offer({ ...sent, answer })) answer({ kind: 'deferred', retryAfterMs: this.#options.retryAfterMs });
      else this.#start();
    });
    if (outcome.kind !== 'stored') this.#quotas.giveBack(asSent);
    this.#count(outcome);
    return { outcome, credit: outcome.kind === 'deferred' ? 0 : this.#credit() };
  }

  /** Before it waits anywhere: what is not to be stored is not to be kept in memory either. */
  async #redacted({ sender, batch }: SentFlowBatch): Promise<SentFlowBatch> {
    this.#arriving++;
    const privacy = await this.#privacy.of(sender.tenantId).catch(() => DEFAULT_FLOW_PRIVACY);
    this.#arriving--;
    // The caller queues it in this turn; only then may `close` find that all is done.
    setImmediate(() => this.#tellIdle());
    return { sender, batch: { ...batch, columns: redactColumns(batch.columns, privacy) } };
  }

  figures(): FlowIngestFigures {
    return { ...this.#figures, queuedRows: this.#queue.rows };
  }

  /** Takes no more, and fulfils when what was taken is stored or deferred. */
  async close(): Promise<void> {
    this.#closing = true;
    if (this.#running + this.#arriving > 0) await new Promise<void>((done) => this.#idle.push(done));
  }

  #tellIdle(): void {
    if (this.#running + this.#arriving === 0) for (const done of this.#idle.splice(0)) done();
  }

  /** Falls as the queue fills, so that agents slow down before anything must be deferred. */
  #credit(): number {
    const filled = this.#queue.rows / this.#options.queueRows;
    return Math.max(1, Math.ceil(FULL_CREDIT * (1 - filled)));
  }

  #count(outcome: FlowIngestOutcome): void {
    const figures = this.#figures;
    switch (outcome.kind) {
      case 'stored': figures.storedRows += outcome.rows; break;
      case 'duplicate': figures.duplicates++; break;
      case 'deferred': figures.deferred++; break;
      case 'refused': figures.refused++; break;
    }
  }

  #start(): void {
    if (this.#running >= this.#options.commits) return;
    this.#running++;
    // Batches that arrive in the same turn of the event loop share the commit.
    setImmediate(() => void this.#commitUntilEmpty());
  }

  async #commitUntilEmpty(): Promise<void> {
    for (let group = this.#queue.take(this.#options.commitRows); group.length > 0; group = this.#queue.take(this.#options.commitRows)) {
      await this.#commit(group);
    }
    this.#running--;
    this.#tellIdle();
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    try {
      const outcomes = await this.#sink.append(group);
      this.#figures.commits++;
      for (const [index, waiting] of group.entries()) waiting.answer(outcomes[index] ?? { kind: 'deferred', retryAfterMs: this.#options.retryAfterMs });
    } catch (error) {
      if (group.length > 1 && isDomainError(error, 'request.invalid')) await this.#commitEach(group);
      else for (const { answer } of group) answer(this.#failed(error));
    }
  }

  /** One batch that the store cannot take must not hold up the others. */
  async #commitEach(group: readonly Waiting[]): Promise<void> {
    for (const waiting of group) await this.#commit([waiting]);
  }

  #failed(error: unknown): FlowIngestOutcome {
    if (isDomainError(error, 'request.invalid')) return { kind: 'refused', reason: error.message };
    return { kind: 'deferred', retryAfterMs: this.#options.retryAfterMs };
  }
}
