import type { ClusterFacts } from '../facts.ts';
import type { PolicySet } from '../policy-set.ts';
import type { ResolvedNode } from '../resolution.ts';
import { PolicyResolver, type ResolveOptions } from './resolver.ts';

/**
 * Entries for every local endpoint of a node, and classes for every address it may meet. For a node that follows changes
 * keep a `PolicyResolver`. A node that the facts do not know has no endpoints; its address classes are still complete.
 */
export function resolveNode(policies: PolicySet, facts: ClusterFacts, nodeName: string, options: ResolveOptions = {}): ResolvedNode {
  return new PolicyResolver(policies, facts, nodeName, options).resolved();
}
