import { resolveNode, type ClusterFacts, type PolicySet, type ResolvedNode } from '@palisade/policy';

/**
 * Policy × identities → what this node's datapath needs. `live`: modes decide; `shadow`: every policy of the set counts
 * as enforced. A port, so that tests need no policies.
 */
export type ResolveNode = (kind: 'live' | 'shadow', policy: PolicySet, facts: ClusterFacts, nodeName: string, policyRevision: number) => ResolvedNode;

/** The policy room's resolver. */
export const resolveByPolicy: ResolveNode = (kind, policy, facts, nodeName, policyRevision) =>
  resolveNode(policy, facts, nodeName, { policies: kind === 'live' ? 'live' : 'all', policyRevision });
