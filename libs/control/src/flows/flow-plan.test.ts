import { parseTenantId } from '@palisade/tenancy';
import { describe, expect, it, vi } from 'vitest';
import { CachedFlowPlans, type FlowPlan } from './flow-plan.ts';

const TENANT = parseTenantId('00000000-0000-7000-8000-000000000001');

/** A source whose answer can be changed, or taken away. */
function source(first: FlowPlan): { plan: FlowPlan | undefined; asked: number; of: () => Promise<FlowPlan> } {
  return {
    plan: first,
    asked: 0,
    of() {
      this.asked++;
      return this.plan === undefined ? Promise.reject(new Error('no database')) : Promise.resolve(this.plan);
    },
  };
}

describe('plans of tenants', () => {
  it('follow a change within seconds, asking once in between', async () => {
    let now = 0;
    const plans = source({ flowsPerSecond: 1 });
    const cached = new CachedFlowPlans(plans, () => now);
    expect(await cached.of(TENANT)).toEqual({ flowsPerSecond: 1 });
    plans.plan = { flowsPerSecond: 2 };
    expect([await cached.of(TENANT), plans.asked]).toEqual([{ flowsPerSecond: 1 }, 1]);
    now += 5_000;
    expect(await cached.of(TENANT)).toEqual({ flowsPerSecond: 2 });
  });

  it('hold as they were while nobody can say what they are', async () => {
    let now = 0;
    const plans = source({ flowDays: 3 });
    const cached = new CachedFlowPlans(plans, () => now);
    await cached.of(TENANT);
    plans.plan = undefined;
    now += 5_000;
    expect(await cached.of(TENANT)).toEqual({ flowDays: 3 });
    expect(cached.known(TENANT)).toEqual({ flowDays: 3 });
  });

  it('are not made up for a tenant that was never asked about', async () => {
    const plans = source({});
    plans.plan = undefined;
    await expect(new CachedFlowPlans(plans).of(TENANT)).rejects.toThrow('no database');
  });

  it('are known at once from the first answer on', async () => {
    const plans = source({ bytesPerDay: 9 });
    const cached = new CachedFlowPlans(plans);
    expect(cached.known(TENANT)).toEqual({});
    await vi.waitFor(() => expect(cached.known(TENANT)).toEqual({ bytesPerDay: 9 }));
    expect(plans.asked).toBe(1);
  });
});
