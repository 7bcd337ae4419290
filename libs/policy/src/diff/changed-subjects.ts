/** Which endpoints a change of policies can concern at all: one representative for all that policy treats alike. */

import type { ClusterFacts, Labels, WorkloadFact } from '../facts.ts';
import { policyKey, type PolicyDocument } from '../ir.ts';
import { parseAddress, parsePrefix, prefixContains, type IpPrefix } from '../ip-address.ts';
import { compileRequirements, LabelView } from '../labels.ts';
import type { PolicySet } from '../policy-set.ts';
import { namesKey, portNamesOf } from '../resolve/port-names.ts';

/** Policies that were added, removed or changed in more than their revision. */
export function changedPolicies(before: PolicySet, after: PolicySet): PolicyDocument[] {
  const old = new Map(before.policies.map((policy) => [policyKey(policy), policy]));
  const changed: PolicyDocument[] = [];
  for (const policy of after.policies) {
    const previous = old.get(policyKey(policy));
    old.delete(policyKey(policy));
    if (previous === policy || (previous !== undefined && contentOf(previous) === contentOf(policy))) continue;
    changed.push(policy, ...(previous === undefined ? [] : [previous]));
  }
  return [...changed, ...old.values()];
}

function contentOf(policy: PolicyDocument): string {
  return JSON.stringify({ ...policy, revision: 0 });
}

export interface ChangedSubject {
  /** `WorkloadFact.key`, or `node/<name>`. */
  readonly key: string;
  readonly node: string;
}

/** Representatives of the endpoints that a changed policy selects; of equals the one on the node with most of them. */
export function changedSubjects(changed: readonly PolicyDocument[], facts: ClusterFacts, groups: WorkloadGroups): ChangedSubject[] {
  const blocks = changed.flatMap((policy) => policy.blocks.map(({ subject }) => ({ kind: subject.kind, test: compileRequirements(subject.selector) })));
  const labels = new Map(facts.identities.map((identity) => [identity.id, identity.labels]));
  const selected = new Map<number, boolean>();
  const isSelected = ({ identity }: WorkloadFact): boolean => {
    let known = selected.get(identity);
    if (known === undefined) {
      const view = new LabelView(labels.get(identity) ?? initLabels(identity));
      known = blocks.some(({ kind, test }) => kind === 'endpoints' && test(view));
      selected.set(identity, known);
    }
    return known;
  };
  const members = new Map<string, WorkloadFact[]>();
  for (const workload of facts.workloads) {
    if (workload.hostNetwork === true || !isSelected(workload)) continue;
    const group = groups.of(workload);
    const known = members.get(group);
    if (known === undefined) members.set(group, [workload]);
    else known.push(workload);
  }
  const nodes = facts.hostFirewall ? facts.nodes.filter((node) => blocks.some(({ kind, test }) => kind === 'nodes' && test(new LabelView(node.labels)))) : [];
  return [...onFewNodes([...members.values()]), ...nodes.map(({ name }) => ({ key: `node/${name}`, node: name }))];
}

function initLabels(identity: number): Labels {
  return identity === 5 ? { 'reserved:init': '' } : {};
}

/**
 * Workloads that policy treats alike at both ends: one identity, the same port names, audit mode, and addresses that the
 * same CIDRs hold (those that match pods).
 */
export class WorkloadGroups {
  private readonly prefixes: readonly IpPrefix[];

  constructor(...sets: readonly PolicySet[]) {
    const texts = new Set<string>();
    for (const peer of sets.flatMap(({ policies }) => policies.flatMap(({ blocks }) => blocks.flatMap(({ rules }) => rules.flatMap(({ peers }) => peers))))) {
      if (peer.kind === 'cidr' && peer.matchesPods) for (const text of [peer.cidr, ...peer.except]) texts.add(text);
    }
    this.prefixes = [...texts].map(parsePrefix).filter((prefix) => prefix !== undefined);
  }

  of(workload: WorkloadFact): string {
    const held = workload.addresses.map((text) => {
      const address = parseAddress(text);
      return `${text.includes(':') ? 6 : 4}:${this.prefixes.flatMap((prefix, i) => (address !== undefined && prefixContains(prefix, address) ? [i] : [])).join()}`;
    });
    return `${workload.identity} ${workload.policyAuditMode === true} ${workload.network} ${namesKey(portNamesOf(workload))} ${held.join(' ')}`;
  }
}

/** Takes nodes in order of how many groups they still have something of. */
function onFewNodes(groups: readonly (readonly WorkloadFact[])[]): ChangedSubject[] {
  const counts = new Map<string, number>();
  for (const group of groups) for (const node of new Set(group.map(({ node: name }) => name))) counts.set(node, (counts.get(node) ?? 0) + 1);
  return groups.map((group) => {
    const best = group.reduce((a, b) => ((counts.get(b.node) ?? 0) > (counts.get(a.node) ?? 0) ? b : a));
    return { key: best.key, node: best.node };
  });
}
