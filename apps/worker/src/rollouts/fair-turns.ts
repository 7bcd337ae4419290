/** One thing to do for a tenant; equal keys are one. */
export interface TenantJob {
  readonly tenantId: string;
  readonly id: string;
}

/**
 * Decides whose job is next: tenants take turns, and none has more than a few at once, so that a tenant with a thousand
 * jobs delays another one by at most one turn of the others.
 */
export class FairTurns {
  readonly #perTenant: number;
  readonly #waiting = new Map<string, Set<string>>();
  /** Tenant → job → when it started, Unix ms. */
  readonly #running = new Map<string, Map<string, number>>();
  /** Job → when it may start again, Unix ms. */
  readonly #resting = new Map<string, number>();

  constructor(perTenant: number) {
    this.#perTenant = perTenant;
  }

  /** A job that waits already is not added again; one that runs is, for what it has read may be old. */
  add(job: TenantJob): void {
    const jobs = this.#waiting.get(job.tenantId) ?? new Set();
    jobs.add(job.id);
    this.#waiting.set(job.tenantId, jobs);
  }

  /** The next job that may start, or undefined; the same job never runs twice at once. */
  take(nowMs: number): TenantJob | undefined {
    for (const [tenantId, jobs] of this.#waiting) {
      const running = this.#running.get(tenantId) ?? new Map<string, number>();
      if (running.size >= this.#perTenant) continue;
      const id = [...jobs].find((candidate) => !running.has(candidate) && (this.#resting.get(candidate) ?? 0) <= nowMs);
      if (id === undefined) continue;
      jobs.delete(id);
      // The tenant goes to the end of the line: a map keeps the order of insertion.
      this.#waiting.delete(tenantId);
      if (jobs.size > 0) this.#waiting.set(tenantId, jobs);
      this.#running.set(tenantId, running.set(id, nowMs));
      return { tenantId, id };
    }
    return undefined;
  }

  /** @param restUntilMs Unix ms; the job waits until then, its place is free at once */
  done(job: TenantJob, restUntilMs = 0): void {
    const running = this.#running.get(job.tenantId);
    running?.delete(job.id);
    if (restUntilMs > 0) this.#resting.set(job.id, restUntilMs);
    if (running?.size === 0) this.#running.delete(job.tenantId);
  }

  /** Frees the places of jobs that nobody has reported done: another process took them, or the queue lost them. */
  expire(startedBeforeMs: number): void {
    for (const [id, untilMs] of this.#resting) if (untilMs < startedBeforeMs) this.#resting.delete(id);
    for (const [tenantId, running] of this.#running) {
      for (const [id, startedMs] of running) if (startedMs < startedBeforeMs) this.done({ tenantId, id });
    }
  }

  get waiting(): number {
    return [...this.#waiting.values()].reduce((sum, jobs) => sum + jobs.size, 0);
  }

  get running(): number {
    return [...this.#running.values()].reduce((sum, jobs) => sum + jobs.size, 0);
  }
}
