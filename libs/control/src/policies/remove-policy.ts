import { DomainError } from '@palisade/errors';
import { createPolicySet, policyKey } from '@palisade/policy';
import { scopeHasNamespace, type TenantContext } from '@palisade/tenancy';
import { reachCluster } from '../clusters/reach-cluster.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import { isUuid } from '../uuid.ts';
import type { PolicyRepositories, PolicyRevision } from './policy.ts';
import { policySetDigest } from './policy-digest.ts';

/** Takes a policy out of the cluster's set: a new revision without it. Throws `resource.not-found` also when it is gone already. */
export class RemovePolicy {
  readonly #unitOfWork: UnitOfWork<PolicyRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<PolicyRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  execute(context: TenantContext, input: { readonly clusterId: string; readonly policyId: string }): Promise<PolicyRevision> {
    return this.#unitOfWork.run(context, async ({ clusters, policies, audit, wakeUp }) => {
      const cluster = await reachCluster(context, clusters, input.clusterId, 'update');
      const policy = isUuid(input.policyId) ? await policies.find(cluster.id, input.policyId) : undefined;
      if (policy === undefined || policy.removedAtRevision !== undefined || !scopeHasNamespace(context.actor.scope, policy.namespace)) {
        throw new DomainError('resource.not-found', `Cluster ${cluster.name} has no policy ${input.policyId}.`);
      }
      const before = await policies.documentsAt(cluster.id, cluster.policyRevision);
      const key = policyKey(policy);
      const after = before.filter((document) => policyKey(document) !== key);
      const digest = policySetDigest(createPolicySet(after));
      const revision = await policies.insertRevision({
        clusterId: cluster.id,
        revision: cluster.policyRevision + 1,
        source: '',
        digest,
        applied: 0,
        removed: 1,
        createdBy: context.actor.id,
      });
      await policies.end(cluster.id, policy.id, revision.revision);
      await wakeUp.notify('policy', { cluster: cluster.id });
      await audit.append({
        action: 'policy.removed',
        target: { kind: 'policy', id: policy.id, name: key },
        summary: `Removed ${key} from cluster ${cluster.name} as revision ${revision.revision}.`,
        beforeDigest: policySetDigest(createPolicySet(before)),
        afterDigest: digest,
        details: { clusterId: cluster.id, revision: revision.revision },
      });
      return revision;
    });
  }
}
