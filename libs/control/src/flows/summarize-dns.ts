import { DomainError } from '@palisade/errors';
import type { FlowCoverage, FlowDnsName } from '@palisade/flow';
import { scopeHasCluster, type TenantContext } from '@palisade/tenancy';
import type { FlowDnsAnswers, FlowReader, FlowStatistics } from './flow-store.ts';
import type { FlowWindow } from './summarize-flows.ts';

export interface DnsSummary {
  readonly items: readonly FlowDnsName[];
  readonly beyond: FlowDnsAnswers['beyond'];
  readonly coverage: FlowCoverage;
}

/** Single flows are read: longer windows would take too long. */
const MAX_WINDOW_US = 7 * 86_400_000_000;

/** What names were asked for, in the actor's scope. */
export class SummarizeDns {
  readonly #statistics: FlowStatistics;
  readonly #flows: Pick<FlowReader, 'coverage'>;

  constructor(ports: { readonly statistics: FlowStatistics; readonly flows: Pick<FlowReader, 'coverage'> }) {
    this.#statistics = ports.statistics;
    this.#flows = ports.flows;
  }

  /** @throws DomainError `request.invalid` on a bad window or limit, `resource.not-found` for a cluster outside the scope */
  async execute(context: TenantContext, window: FlowWindow, limit: number): Promise<DnsSummary> {
    if (window.clusterId !== undefined && !scopeHasCluster(context.actor.scope, window.clusterId)) throw new DomainError('resource.not-found', `There is no cluster ${window.clusterId}.`);
    if (!(window.sinceUs < window.untilUs) || window.untilUs - window.sinceUs > MAX_WINDOW_US) {
      throw new DomainError('request.invalid', 'The window must be longer than nothing and at most 7 days.', { pointer: '/since' });
    }
    const { names, beyond } = await this.#statistics.dnsNames(context, { ...window, limit });
    return { items: names, beyond, coverage: await this.#flows.coverage(context, window) };
  }
}
