import { DomainError } from '@palisade/errors';
import type { FlowCoverage } from '@palisade/flow';
import { scopeHasCluster, type TenantContext } from '@palisade/tenancy';
import type { FlowPage, FlowQuery, FlowReader, FlowTail, IngestPosition } from './flow-store.ts';

const MAX_PAGE = 1000;

/** Reads flows in the actor's scope. An actor bound to namespaces sees a flow when one of its ends is in them. */
export class ReadFlows {
  readonly #flows: FlowReader;

  constructor(ports: { readonly flows: FlowReader }) {
    this.#flows = ports.flows;
  }

  /** @throws DomainError `request.invalid` on a bad window or limit, `resource.not-found` for a cluster outside the scope */
  list(context: TenantContext, query: FlowQuery): Promise<FlowPage> {
    checkCluster(context, query.clusterId);
    if (!Number.isInteger(query.limit) || query.limit < 1 || query.limit > MAX_PAGE) {
      throw new DomainError('request.invalid', `A page has 1 to ${MAX_PAGE} flows.`, { pointer: '/limit' });
    }
    if (!(query.sinceUs < query.untilUs)) throw new DomainError('request.invalid', 'The window is empty: since must lie before until.', { pointer: '/since' });
    return this.#flows.list(context, query);
  }

  now(context: TenantContext): Promise<IngestPosition> {
    return this.#flows.now(context);
  }

  tail(context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>, position: IngestPosition, limit = MAX_PAGE): Promise<FlowTail> {
    checkCluster(context, query.clusterId);
    return this.#flows.tail(context, query, position, limit);
  }

  coverage(context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'sinceUs' | 'untilUs'>): Promise<FlowCoverage> {
    checkCluster(context, query.clusterId);
    return this.#flows.coverage(context, query);
  }
}

function checkCluster(context: TenantContext, clusterId: string | undefined): void {
  if (clusterId !== undefined && !scopeHasCluster(context.actor.scope, clusterId)) {
    throw new DomainError('resource.not-found', `There is no cluster ${clusterId}.`);
  }
}
