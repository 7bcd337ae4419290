import type { ClusterFacts, FactsIncrement } from '@palisade/policy';

/** The facts one step further. The caller has checked that the increment starts at the facts' revision. */
export function applyIncrement(facts: ClusterFacts, step: FactsIncrement): ClusterFacts {
  return {
    ...facts,
    identityRevision: step.identityRevision,
    identities: merge(facts.identities, step.identities, (fact) => fact.id, (a, b) => a - b),
    workloads: merge(facts.workloads, step.workloads, (fact) => fact.key, compareText),
    nodes: merge(facts.nodes, step.nodes, (fact) => fact.name, compareText),
    services: merge(facts.services, step.services, (fact) => `${fact.namespace}/${fact.name}`, compareText),
    cidrGroups: merge(facts.cidrGroups, step.cidrGroups, (fact) => fact.name, compareText),
  };
}

function merge<T, K>(old: readonly T[], change: { readonly upserted: readonly T[]; readonly removed: readonly K[] }, keyOf: (fact: T) => K, compare: (a: K, b: K) => number): readonly T[] {
  if (change.upserted.length === 0 && change.removed.length === 0) return old;
  const byKey = new Map(old.map((fact) => [keyOf(fact), fact]));
  for (const key of change.removed) byKey.delete(key);
  for (const fact of change.upserted) byKey.set(keyOf(fact), fact);
  return [...byKey.entries()].sort(([a], [b]) => compare(a, b)).map(([, fact]) => fact);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
