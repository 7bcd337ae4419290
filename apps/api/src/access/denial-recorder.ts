import type { AuditEntry } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';

const WINDOW_MS = 60_000;
/** Actors times permissions that one process counts at a time; what is more goes uncounted into the log only. */
const MAX_TRACKED = 10_000;

/** What was denied, as the audit log calls it; equal denials of one actor are summed up. */
export type Denial = Pick<AuditEntry, 'action' | 'target' | 'summary'>;

interface Tracked {
  readonly context: TenantContext;
  readonly denial: Denial;
  repeated: number;
}

export type WriteDenial = (context: TenantContext, denial: Denial, count: number) => Promise<void>;

/**
 * Writes denied attempts to the audit log: the first at once, repeats by the same actor summed up once a minute, so that a
 * flood of denials does not serialize on the tenant's audit chain.
 */
export class DenialRecorder {
  readonly #write: WriteDenial;
  readonly #onError: (error: unknown) => void;
  readonly #tracked = new Map<string, Tracked>();
  readonly #timer: NodeJS.Timeout;
  #writing: Promise<void> = Promise.resolve();

  constructor(write: WriteDenial, onError: (error: unknown) => void) {
    this.#write = write;
    this.#onError = onError;
    this.#timer = setInterval(() => void this.flush(), WINDOW_MS);
    this.#timer.unref();
  }

  record(context: TenantContext, denial: Denial): void {
    const key = JSON.stringify([context.tenantId, context.actor.id, denial.action, denial.target.id, denial.summary]);
    const known = this.#tracked.get(key);
    if (known !== undefined) {
      known.repeated += 1;
      return;
    }
    if (this.#tracked.size >= MAX_TRACKED) return;
    this.#tracked.set(key, { context, denial, repeated: 0 });
    this.#enqueue(context, denial, 1);
  }

  /** Writes what was repeated since the last time and starts anew. */
  async flush(): Promise<void> {
    const tracked = [...this.#tracked.values()];
    this.#tracked.clear();
    for (const { context, denial, repeated } of tracked) {
      if (repeated > 0) this.#enqueue(context, denial, repeated);
    }
    await this.#writing;
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  #enqueue(context: TenantContext, denial: Denial, count: number): void {
    this.#writing = this.#writing.then(() => this.#write(context, denial, count)).catch(this.#onError);
  }
}

