import { DomainError } from '@palisade/errors';
import type { Cluster } from '../clusters/cluster.ts';

export interface PolicyApproval {
  readonly revision: number;
  readonly approver: string;
  readonly approverName: string;
  readonly createdAt: Date;
}

export interface PolicyApprovalRepository {
  find(clusterId: string, revision: number): Promise<PolicyApproval | undefined>;
  /** Ids of all who made a revision after the newest approved one before `revision`, up to and including it. */
  authorsUpTo(clusterId: string, revision: number): Promise<readonly string[]>;
  insert(clusterId: string, approval: { readonly revision: number; readonly approver: string; readonly approverName: string }): Promise<PolicyApproval>;
}

/**
 * Throws `resource.conflict` when the cluster asks for four eyes and nobody has approved the revision. The empty set of a
 * cluster without any policy needs no approval: it changes nothing.
 */
export async function requireApproved(cluster: Cluster, revision: number, approvals: PolicyApprovalRepository): Promise<void> {
  if (!cluster.settings.requireApproval || cluster.policyRevision === 0) return;
  const approval = revision === 0 ? undefined : await approvals.find(cluster.id, revision);
  if (approval !== undefined) return;
  throw new DomainError('resource.conflict', `Cluster ${cluster.name} rolls out approved policies only: let another person than the author approve revision ${revision}.`, {
    params: { policyRevision: revision },
  });
}
