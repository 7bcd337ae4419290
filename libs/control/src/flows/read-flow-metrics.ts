import { hubbleFamilies, type FlowCount, type MetricFamily } from '@palisade/flow';
import type { TenantContext } from '@palisade/tenancy';
import type { FlowStatistics, IngestPosition } from './flow-store.ts';
import type { SummarizeFlows } from './summarize-flows.ts';

const DAY_US = 86_400_000_000;
/** Rows that one step counts, and how long one answer may catch up; the rest is counted with the next answer. */
const STEP_ROWS = 500_000;
const CATCH_UP_MS = 3_000;
/** Different counts of one asker; beyond, ends are no longer told apart. */
const MAX_COUNTS = 20_000;
/** Askers (tenant, cluster, scope) whose counts are kept in memory; the longest unused goes first and is counted again when it comes back. */
const MAX_ASKERS = 200;

interface Tally {
  readonly dayUs: number;
  position: IngestPosition;
  readonly counts: Map<string, FlowCount>;
}

/**
 * Hubble's metrics of today (UTC), for a tenant or one cluster, in the actor's scope. Counts are a function of what is stored
 * since the day began, so every process gives the same, also after a restart; what was counted is kept in memory and each
 * answer counts only what was stored since the one before.
 */
export class ReadFlowMetrics {
  readonly #ports: { readonly summaries: SummarizeFlows; readonly statistics: FlowStatistics; readonly now?: () => number };
  readonly #tallies = new Map<string, Promise<Tally>>();

  constructor(ports: { readonly summaries: SummarizeFlows; readonly statistics: FlowStatistics; readonly now?: () => number }) {
    this.#ports = ports;
  }

  /** @throws DomainError `resource.not-found` for a cluster outside the scope */
  async execute(context: TenantContext, clusterId?: string): Promise<readonly MetricFamily[]> {
    const nowUs = (this.#ports.now?.() ?? Date.now()) * 1000;
    const dayUs = Math.floor(nowUs / DAY_US) * DAY_US;
    const of = clusterId === undefined ? {} : { clusterId };
    const { edges, beyond, coverage } = await this.#ports.summaries.edges(context, { ...of, sinceUs: dayUs, untilUs: nowUs + 1 });
    const { counts } = await this.#tally(context, clusterId, dayUs);
    return hubbleFamilies({ edges, beyondFlows: beyond.flows, counts: [...counts.values()], losses: coverage.losses });
  }

  /** One step at a time for each asker: counting twice from one position would count double. */
  #tally(context: TenantContext, clusterId: string | undefined, dayUs: number): Promise<Tally> {
    const key = JSON.stringify([context.tenantId, clusterId, context.actor.scope]);
    const before = this.#tallies.get(key);
    const next = (before ?? Promise.resolve(undefined)).catch(() => undefined).then((known) => this.#catchUp(context, clusterId, dayUs, known));
    this.#tallies.delete(key);
    this.#tallies.set(key, next);
    for (const oldest of this.#tallies.keys()) {
      if (this.#tallies.size <= MAX_ASKERS) break;
      this.#tallies.delete(oldest);
    }
    return next;
  }

  async #catchUp(context: TenantContext, clusterId: string | undefined, dayUs: number, known: Tally | undefined): Promise<Tally> {
    const { statistics } = this.#ports;
    const tally = known?.dayUs === dayUs ? known : { dayUs, position: await statistics.positionAt(context, dayUs), counts: new Map<string, FlowCount>() };
    const startedAt = performance.now();
    for (let more = true; more && performance.now() - startedAt < CATCH_UP_MS;) {
      const step = await statistics.counts(context, clusterId === undefined ? {} : { clusterId }, tally.position, STEP_ROWS);
      for (const count of step.counts) addCount(tally.counts, count);
      tally.position = step.position;
      more = step.more;
    }
    return tally;
  }
}

function addCount(counts: Map<string, FlowCount>, { flows, latencyUs, ...like }: FlowCount): void {
  let kept: Omit<FlowCount, 'flows' | 'latencyUs'> = like;
  let key = JSON.stringify(kept);
  if (!counts.has(key) && counts.size >= MAX_COUNTS) {
    const other = { workload: 'other' };
    kept = { ...like, source: other, destination: other };
    key = JSON.stringify(kept);
  }
  const known = counts.get(key);
  counts.set(key, { ...kept, flows: flows + (known?.flows ?? 0), latencyUs: latencyUs + (known?.latencyUs ?? 0) });
}
