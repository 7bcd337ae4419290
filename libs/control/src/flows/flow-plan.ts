import type { TenantId } from '@palisade/tenancy';
import type { FlowQuota } from './flow-quotas.ts';

/** What a tenant's plan says; whatever is absent is as the installation is configured. */
export interface FlowPlan extends Partial<FlowQuota> {
  /** Single flows older than this many days are not shown to the tenant. */
  readonly flowDays?: number;
}

export interface FlowPlanSource {
  /** @returns nothing set for a tenant without a plan */
  of(tenantId: TenantId): Promise<FlowPlan>;
}

const FRESH_MS = 5_000;
const MAX_TENANTS = 10_000;

interface Known {
  /** The last answer; absent before the first. */
  plan?: FlowPlan;
  until: number;
  asked?: Promise<FlowPlan>;
}

/** Asks the source once in a while for each tenant. While it does not answer, the last answer holds. */
export class CachedFlowPlans implements FlowPlanSource {
  readonly #source: FlowPlanSource;
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();

  constructor(source: FlowPlanSource, now: () => number = () => performance.now()) {
    this.#source = source;
    this.#now = now;
  }

  /** @throws what the source throws, for a tenant whose plan was never read */
  async of(tenantId: TenantId): Promise<FlowPlan> {
    const known = this.#of(tenantId);
    if (known.plan !== undefined && known.until > this.#now()) return known.plan;
    try {
      return await this.#ask(tenantId, known);
    } catch (error) {
      if (known.plan === undefined) throw error;
      return known.plan;
    }
  }

  /** What is known now; until the first answer nothing is. Asks behind the caller's back when that is old. */
  known(tenantId: TenantId): FlowPlan {
    const known = this.#of(tenantId);
    if (known.until <= this.#now()) this.#ask(tenantId, known).catch(() => undefined);
    return known.plan ?? {};
  }

  #of(tenantId: TenantId): Known {
    let known = this.#known.get(tenantId);
    if (known !== undefined) return known;
    if (this.#known.size >= MAX_TENANTS) this.#known.clear();
    this.#known.set(tenantId, (known = { until: Number.NEGATIVE_INFINITY }));
    return known;
  }

  #ask(tenantId: TenantId, known: Known): Promise<FlowPlan> {
    known.asked ??= this.#source.of(tenantId).then((plan) => (known.plan = plan)).finally(() => {
      known.until = this.#now() + FRESH_MS;
      delete known.asked;
    });
    return known.asked;
  }
}
