import type { TenantContext } from '@palisade/tenancy';
import type { FlowPlanSource } from './flow-plan.ts';
import type { FlowReader, FlowStatistics } from './flow-store.ts';

const DAY_US = 86_400_000_000;

interface SingleFlows {
  readonly reader: FlowReader;
  readonly statistics: FlowStatistics;
}

/**
 * The same store, in which a tenant sees single flows for the days of its plan only. The store keeps whole days for all
 * tenants together, so what a shorter plan no longer shows is still there until its day is removed.
 *
 * @param now milliseconds since the Unix epoch
 */
export function keptFlows({ reader, statistics }: SingleFlows, plans: FlowPlanSource, now: () => number = Date.now): SingleFlows {
  const floorUs = async (context: TenantContext): Promise<number> => {
    const { flowDays } = await plans.of(context.tenantId);
    return flowDays === undefined ? 0 : now() * 1000 - flowDays * DAY_US;
  };
  const kept = async <Query extends { readonly sinceUs: number; readonly untilUs: number }>(context: TenantContext, query: Query): Promise<Query> => {
    const floor = await floorUs(context);
    return query.sinceUs >= floor ? query : { ...query, sinceUs: Math.min(query.untilUs, floor) };
  };
  return {
    reader: {
      async list(context, asked) {
        const query = await kept(context, asked);
        // A page that goes on from before the floor: nothing older is shown any more.
        if (query.order === 'newest' && query.after !== undefined && query.after.lastSeenUs < query.sinceUs) return { flows: [], coverage: await reader.coverage(context, query) };
        return reader.list(context, query);
      },
      now: (context) => reader.now(context),
      async tail(context, query, position, limit) {
        const floor = await floorUs(context);
        const tail = await reader.tail(context, query, position, limit);
        return { ...tail, flows: tail.flows.filter(({ lastSeenUs }) => lastSeenUs >= floor) };
      },
      coverage: (context, query) => reader.coverage(context, query),
    },
    statistics: {
      dnsNames: async (context, query) => statistics.dnsNames(context, await kept(context, query)),
      positionAt: async (context, us) => statistics.positionAt(context, Math.max(us, await floorUs(context))),
      counts: (context, query, position, rows) => statistics.counts(context, query, position, rows),
    },
  };
}
