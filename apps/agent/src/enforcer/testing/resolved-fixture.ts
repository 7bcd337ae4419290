import type { AddressClass, PolicyEntry, ResolvedNode, RuleReference } from '@palisade/policy';

/** A policy entry for tests; `to` or `from` decides the direction. */
export function entry(
  direction: 'ingress' | 'egress',
  peerClass: number,
  protocol: number,
  port: number,
  verdict: PolicyEntry['verdict'],
  ruleId: number,
  portPrefixLength = port === 0 ? 0 : 16,
): PolicyEntry {
  return { direction, peerClass, protocol, port, portPrefixLength, verdict, ruleId };
}

/** A resolved node from endpoint entries and addresses; even rule ids are rules, odd ones default denies. */
export function resolvedNode(
  endpoints: Readonly<Record<string, readonly PolicyEntry[]>>,
  addresses: readonly (Omit<AddressClass, 'network'> & { readonly network?: string })[],
  revision = 1,
): ResolvedNode {
  const rules: Record<number, RuleReference> = {};
  for (const one of Object.values(endpoints).flat()) {
    rules[one.ruleId] = { ruleId: one.ruleId, kind: one.ruleId % 2 === 0 ? 'rule' : 'default-deny', direction: one.direction, policies: [] };
  }
  return {
    node: 'test',
    policyRevision: revision,
    identityRevision: revision,
    endpoints: Object.entries(endpoints).map(([key, entries], index) => ({ key, identity: 1000 + index, entries, digest: `${key}-${entries.length}` })),
    addresses: addresses.map((address) => ({ network: 'default', ...address })),
    fqdn: { selectors: [], classes: [] },
    l7Rules: [],
    rules,
    digest: `revision-${revision}`,
  };
}
