import type { Permission, TenantContext } from '@palisade/tenancy';

const WINDOW_MS = 60_000;
/** Actors times permissions that one process counts at a time; what is more goes uncounted into the log only. */
const MAX_TRACKED = 10_000;

interface Tracked {
  readonly context: TenantContext;
  readonly permission: Permission;
  repeated: number;
}

export type WriteDenial = (context: TenantContext, permission: Permission, count: number) => Promise<void>;

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

  record(context: TenantContext, permission: Permission): void {
    const key = `${context.tenantId} ${context.actor.id} ${permission}`;
    const known = this.#tracked.get(key);
    if (known !== undefined) {
      known.repeated += 1;
      return;
    }
    if (this.#tracked.size >= MAX_TRACKED) return;
    this.#tracked.set(key, { context, permission, repeated: 0 });
    this.#enqueue(context, permission, 1);
  }

  /** Writes what was repeated since the last time and starts anew. */
  async flush(): Promise<void> {
    const tracked = [...this.#tracked.values()];
    this.#tracked.clear();
    for (const { context, permission, repeated } of tracked) {
      if (repeated > 0) this.#enqueue(context, permission, repeated);
    }
    await this.#writing;
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  #enqueue(context: TenantContext, permission: Permission, count: number): void {
    this.#writing = this.#writing.then(() => this.#write(context, permission, count)).catch(this.#onError);
  }
}

