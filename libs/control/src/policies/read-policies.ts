import { DomainError } from '@palisade/errors';
import { createPolicySet, type PolicySet } from '@palisade/policy';
import { scopeHasNamespace, type TenantContext } from '@palisade/tenancy';
import { reachCluster } from '../clusters/reach-cluster.ts';
import type { Page, PageRequest } from '../page.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import { isUuid } from '../uuid.ts';
import type { Policy, PolicyFilter, PolicyRepositories, PolicyRevision, PolicyVersion } from './policy.ts';

const VERSIONS_SHOWN = 100;

/** Reads policies in the actor's scope. Everything throws `resource.not-found` for what is not there. */
export class ReadPolicies {
  readonly #unitOfWork: UnitOfWork<PolicyRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<PolicyRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  list(context: TenantContext, clusterId: string, page: PageRequest & Pick<PolicyFilter, 'kind'>): Promise<Page<Policy>> {
    return this.#unitOfWork.run(context, async ({ clusters, policies }) => {
      const cluster = await reachCluster(context, clusters, clusterId);
      const { namespaces } = context.actor.scope;
      return policies.list(cluster.id, namespaces === 'all' ? page : { ...page, namespaces });
    });
  }

  /** The newest version, and the newest 100 versions in short. */
  get(context: TenantContext, clusterId: string, policyId: string): Promise<{ readonly policy: Policy; readonly versions: readonly PolicyVersion[] }> {
    return this.#unitOfWork.run(context, async ({ clusters, policies }) => {
      const cluster = await reachCluster(context, clusters, clusterId);
      const policy = isUuid(policyId) ? await policies.find(cluster.id, policyId) : undefined;
      if (policy === undefined || !scopeHasNamespace(context.actor.scope, policy.namespace)) {
        throw new DomainError('resource.not-found', `Cluster ${cluster.name} has no policy ${policyId}.`);
      }
      return { policy, versions: await policies.versions(cluster.id, policy.id, VERSIONS_SHOWN) };
    });
  }

  revisions(context: TenantContext, clusterId: string, page: PageRequest<number>): Promise<Page<PolicyRevision, number>> {
    return this.#unitOfWork.run(context, async ({ clusters, policies }) => {
      const cluster = await reachCluster(context, clusters, clusterId);
      return policies.revisions(cluster.id, page);
    });
  }

  /** The whole set at a revision, as bundles carry it; the newest when none is given. */
  setAt(context: TenantContext, clusterId: string, revision?: number): Promise<PolicySet> {
    return this.#unitOfWork.run(context, async ({ clusters, policies }) => {
      const cluster = await reachCluster(context, clusters, clusterId);
      return createPolicySet(await policies.documentsAt(cluster.id, revision ?? cluster.policyRevision));
    });
  }
}
