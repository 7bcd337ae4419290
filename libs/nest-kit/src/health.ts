/** Answers when the dependency works and rejects when it does not. */
export type HealthCheck = () => Promise<unknown>;

export interface HealthReport {
  readonly status: 'ok' | 'unavailable' | 'stopping';
  readonly checks: Readonly<Record<string, 'ok' | 'failed'>>;
}

const CHECK_TIMEOUT_MS = 2_000;

/** Liveness says that the process turns; readiness that its dependencies answer and that it is not stopping. */
export class Health {
  readonly #checks: Readonly<Record<string, HealthCheck>>;
  #stopping = false;

  constructor(checks: Readonly<Record<string, HealthCheck>>) {
    this.#checks = checks;
  }

  /** From now on not ready, so that load balancers look elsewhere. */
  stop(): void {
    this.#stopping = true;
  }

  async readiness(): Promise<HealthReport> {
    if (this.#stopping) return { status: 'stopping', checks: {} };
    const results = await Promise.all(
      Object.entries(this.#checks).map(async ([name, check]) => [name, await passes(check)] as const),
    );
    const checks = Object.fromEntries(results.map(([name, ok]) => [name, ok ? 'ok' : 'failed'] as const));
    return { status: results.every(([, ok]) => ok) ? 'ok' : 'unavailable', checks };
  }
}

async function passes(check: HealthCheck): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), CHECK_TIMEOUT_MS);
  });
  try {
    return await Promise.race([check().then(() => true, () => false), late]);
  } finally {
    clearTimeout(timer);
  }
}
