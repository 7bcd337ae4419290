import type { ClusterFacts, PolicySet, ResolvedNode } from '@palisade/policy';

/**
 * Policy × identities → what this node's datapath needs. `live`: modes decide; `shadow`: every policy of the set counts
 * as enforced.
 */
export type ResolveNode = (kind: 'live' | 'shadow', policy: PolicySet, facts: ClusterFacts, nodeName: string, policyRevision: number) => ResolvedNode;
