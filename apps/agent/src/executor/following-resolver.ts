import { policyKey, PolicyResolver, type ClusterFacts, type PolicyDocument, type PolicySet, type ResolvedNode } from '@palisade/policy';
import { stepsBetween } from '../identities/facts-lineage.ts';
import type { ResolveNode } from './resolve-node.ts';

interface Followed {
  readonly resolver: PolicyResolver;
  readonly nodeName: string;
  policy: PolicySet;
  facts: ClusterFacts;
}

/** Changing more than this share of the policies is not cheaper than starting anew. */
const REBUILD_SHARE = 0.25;

/**
 * Resolves by following what changed since the last time: identity steps and policies, live and shadow apart. Gives what a
 * full resolve gives, digest included; where the way from the last state is not known, it is a full resolve.
 */
export function followingResolver(): ResolveNode {
  const followed = new Map<'live' | 'shadow', Followed>();
  return (kind, policy, facts, nodeName, policyRevision) => {
    const known = followed.get(kind);
    followed.delete(kind); // put back below, when every change went through
    const next = known !== undefined && follow(known, policy, facts, nodeName) ? known : start(kind, policy, facts, nodeName);
    const resolved: ResolvedNode = { ...next.resolver.resolved(), policyRevision };
    followed.set(kind, next);
    return resolved;
  };
}

function start(kind: 'live' | 'shadow', policy: PolicySet, facts: ClusterFacts, nodeName: string): Followed {
  return { resolver: new PolicyResolver(policy, facts, nodeName, { policies: kind === 'live' ? 'live' : 'all' }), nodeName, policy, facts };
}

function follow(known: Followed, policy: PolicySet, facts: ClusterFacts, nodeName: string): boolean {
  if (known.nodeName !== nodeName) return false;
  const steps = stepsBetween(known.facts, facts);
  const changes = steps && policyChanges(known.policy, policy);
  if (steps === undefined || changes === undefined) return false;
  for (const step of steps) known.resolver.updateFacts(step);
  known.facts = facts;
  for (const key of changes.removed) known.resolver.removePolicy(key);
  for (const document of changes.updated) known.resolver.updatePolicy(document);
  known.policy = policy;
  return true;
}

function policyChanges(from: PolicySet, to: PolicySet): { readonly removed: readonly string[]; readonly updated: readonly PolicyDocument[] } | undefined {
  if (from === to) return { removed: [], updated: [] };
  const old = new Map(from.policies.map((document) => [policyKey(document), JSON.stringify(document)]));
  const updated = to.policies.filter((document) => old.get(policyKey(document)) !== JSON.stringify(document));
  for (const document of to.policies) old.delete(policyKey(document));
  const removed = [...old.keys()];
  const few = updated.length + removed.length <= Math.max(1, to.policies.length * REBUILD_SHARE);
  return few ? { removed, updated } : undefined;
}
