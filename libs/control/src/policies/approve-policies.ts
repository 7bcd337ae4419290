import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import { reachCluster } from '../clusters/reach-cluster.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { PolicyApproval, PolicyApprovalRepository } from './approval.ts';
import type { PolicyRepositories } from './policy.ts';

export interface ApprovalRepositories extends PolicyRepositories {
  readonly approvals: PolicyApprovalRepository;
}

/**
 * Approves a revision of a cluster's policies, and with it everything since the approved one before. Whoever wrote any of
 * that cannot approve it (`auth.forbidden`). Approving twice answers the first approval. Throws `resource.not-found`.
 */
export class ApprovePolicies {
  readonly #unitOfWork: UnitOfWork<ApprovalRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<ApprovalRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  execute(context: TenantContext, input: { readonly clusterId: string; readonly revision: number }): Promise<PolicyApproval> {
    return this.#unitOfWork.run(context, async ({ clusters, approvals, audit }) => {
      const cluster = await reachCluster(context, clusters, input.clusterId, 'update');
      if (input.revision < 1 || input.revision > cluster.policyRevision) throw new DomainError('resource.not-found', `Cluster ${cluster.name} has no policy revision ${input.revision}.`);
      const known = await approvals.find(cluster.id, input.revision);
      if (known !== undefined) return known;
      const authors = await approvals.authorsUpTo(cluster.id, input.revision);
      if (authors.includes(context.actor.id)) {
        throw new DomainError('auth.forbidden', `You wrote a part of what revision ${input.revision} changes, so another person has to approve it.`);
      }
      const approval = await approvals.insert(cluster.id, { revision: input.revision, approver: context.actor.id, approverName: context.actor.name });
      await audit.append({
        action: 'policy.approved',
        target: { kind: 'cluster', id: cluster.id, name: cluster.name },
        summary: `Approved policy revision ${input.revision} of cluster ${cluster.name}.`,
        details: { revision: input.revision },
      });
      return approval;
    });
  }
}
