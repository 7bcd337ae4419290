import type { AdvanceRollout } from '@palisade/control';
import type { Logger } from '@palisade/nest-kit';
import type { WorkFinder } from '@palisade/store';
import { parseTenantId, systemContext } from '@palisade/tenancy';
import { FairTurns, type TenantJob } from './fair-turns.ts';
import type { JobQueue, JobQueueOptions } from './job-queue.ts';

const OUTBOX_BATCH = 500;
/** A job that was not reported done by then ran elsewhere or is lost; either way its place is free. */
const JOB_LIMIT_MS = 15_000;

/**
 * A rollout rests this many times as long as its last step took: reports of ten thousand nodes come in by the second, each
 * step counts them all, and the push that they answer needs the processor and the database more.
 */
const REST_FACTOR = 4;
const LONGEST_REST_MS = 2_000;

export interface RolloutDispatcherOptions {
  readonly openQueue: (options: JobQueueOptions) => Promise<JobQueue>;
  readonly work: WorkFinder;
  readonly advance: Pick<AdvanceRollout, 'execute'>;
  readonly logger: Logger;
  readonly perTenant: number;
  readonly concurrency: number;
}

/**
 * Brings rollouts that have something to do before a worker: from the outbox when woken, from the rollouts themselves
 * when nobody woke us. PostgreSQL is asked, the queue carries ids, and losing the queue loses nothing.
 */
export class RolloutDispatcher {
  readonly #options: RolloutDispatcherOptions;
  readonly #turns: FairTurns;
  /** Milliseconds that the last step of each rollout took. */
  readonly #took = new Map<string, number>();
  #queue: JobQueue | undefined;
  #pumping = false;

  constructor(options: RolloutDispatcherOptions) {
    this.#options = options;
    this.#turns = new FairTurns(options.perTenant);
  }

  async start(): Promise<void> {
    this.#queue = await this.#options.openQueue({
      name: 'rollouts',
      concurrency: this.#options.concurrency,
      process: (job) => this.#process(job),
      onSettled: (job) => {
        const restMs = Math.min(LONGEST_REST_MS, Math.ceil(REST_FACTOR * (this.#took.get(job.id) ?? 0)));
        this.#took.delete(job.id);
        this.#turns.done(job, Date.now() + restMs);
        void this.#pump();
        setTimeout(() => void this.#pump(), restMs + 1).unref();
      },
      onError: (error) => this.#options.logger.warn({ err: error }, 'the job queue reported an error'),
    });
  }

  /** New entries of the outbox. */
  async dispatchOutbox(): Promise<void> {
    for (;;) {
      const taken = await this.#options.work.takeOutbox(OUTBOX_BATCH);
      for (const job of taken) this.#turns.add(job);
      await this.#pump();
      if (taken.length < OUTBOX_BATCH) return;
    }
  }

  /** Everything that is not settled, whether or not somebody woke us. */
  async reconcile(): Promise<void> {
    this.#turns.expire(Date.now() - JOB_LIMIT_MS);
    for (const job of await this.#options.work.rolloutsAtWork()) this.#turns.add(job);
    await this.#pump();
  }

  async close(): Promise<void> {
    await this.#queue?.close();
  }

  async #pump(): Promise<void> {
    if (this.#pumping || this.#queue === undefined) return;
    this.#pumping = true;
    try {
      for (let job = this.#turns.take(Date.now()); job !== undefined; job = this.#turns.take(Date.now())) await this.#enqueue(job);
    } finally {
      this.#pumping = false;
    }
  }

  async #enqueue(job: TenantJob): Promise<void> {
    try {
      await this.#queue!.add(job);
    } catch (error) {
      this.#turns.done(job);
      this.#options.logger.warn({ err: error, rollout: job.id }, 'a job could not be queued; the reconciler brings it again');
    }
  }

  async #process(job: TenantJob): Promise<void> {
    const startedAt = performance.now();
    try {
      await this.#options.advance.execute(systemContext(parseTenantId(job.tenantId), 'worker/rollout'), job.id);
    } finally {
      this.#took.set(job.id, performance.now() - startedAt);
    }
  }
}
