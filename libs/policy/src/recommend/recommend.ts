/** From "who talks to whom" to policy: the least CiliumNetworkPolicies that allow what was observed. */

import type { ClusterFacts, WorkloadFact } from '../facts.ts';
import type { RecordedFlow } from '../simulate/recorded-flow.ts';
import { EndFinder } from './observed-peer.ts';
import { RuleCollector, type CiliumRule } from './rule-collector.ts';
import { subjectOf } from './stable-labels.ts';

export interface RecommendOptions {
  /** Namespaces to write policies for; absent: all that were seen. */
  readonly namespaces?: readonly string[];
  /** Directions to restrict; default both. */
  readonly directions?: readonly ('ingress' | 'egress')[];
  /** Outside addresses named one by one in a rule; beyond it the rule says `world`. Default 20. */
  readonly maxAddresses?: number;
}

/** An object that can be written as YAML and applied as it is. */
export interface CiliumNetworkPolicyManifest {
  readonly apiVersion: 'cilium.io/v2';
  readonly kind: 'CiliumNetworkPolicy';
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly description: string;
    readonly endpointSelector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly ingress?: readonly CiliumRule[];
    readonly egress?: readonly CiliumRule[];
  };
}

export interface Recommendation {
  readonly manifest: CiliumNetworkPolicyManifest;
  /** Weight of the observed flows behind it. */
  readonly flows: number;
  /** What a person should look at before applying. */
  readonly notes: readonly string[];
}

/**
 * One policy per set of labels that was seen talking, with a rule per kind of peer. Only flows that passed count; replies
 * need no rule. Flows of unknown workloads and of host-networked ends as subjects are left out.
 */
export function recommend(flows: Iterable<RecordedFlow>, facts: ClusterFacts, options: RecommendOptions = {}): Recommendation[] {
  const directions = options.directions ?? ['ingress', 'egress'];
  const collected = new Map<string, Collected>();
  const ends = new EndFinder(facts);
  for (const recorded of flows) {
    if (recorded.verdict === 'deny') continue;
    for (const direction of directions) {
      const [own, other] = direction === 'ingress' ? [recorded.flow.destination, recorded.flow.source] : [recorded.flow.source, recorded.flow.destination];
      const workload = ends.workload(own);
      if (workload === undefined || options.namespaces?.includes(workload.namespace) === false) continue;
      const subject = subjectOf(ends.labels(workload));
      const key = JSON.stringify([workload.namespace, subject]);
      const entry = collected.get(key) ?? { workload, subject, ingress: new RuleCollector('ingress'), egress: new RuleCollector('egress'), flows: 0 };
      collected.set(key, entry);
      entry.flows += recorded.weight;
      entry[direction].add(ends.describe(other, workload), recorded.flow);
    }
  }
  const sorted = [...collected].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
  const names = new Set<string>();
  return sorted.map((entry) => write(entry, nameOf(entry, names), directions, options.maxAddresses ?? 20, facts));
}

interface Collected {
  readonly workload: WorkloadFact;
  readonly subject: Readonly<Record<string, string>>;
  readonly ingress: RuleCollector;
  readonly egress: RuleCollector;
  flows: number;
}

function write({ workload, subject, ingress, egress, flows }: Collected, name: string, directions: readonly string[], maxAddresses: number, facts: ClusterFacts): Recommendation {
  const notes: string[] = [];
  const rulesOf = (collector: RuleCollector): readonly CiliumRule[] => collector.rules(maxAddresses, notes);
  if (Object.keys(subject).length === 0) notes.push(`The workload has no labels of its own: the policy selects every pod of the namespace ${workload.namespace}.`);
  // A direction without observed flows isolates with a rule that allows nothing (rule 35).
  const ingressRules = directions.includes('ingress') ? { ingress: orNothing(rulesOf(ingress)) } : {};
  const egressRules = directions.includes('egress') ? { egress: orNothing(rulesOf(egress)) } : {};
  const manifest: CiliumNetworkPolicyManifest = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumNetworkPolicy',
    metadata: { name, namespace: workload.namespace },
    spec: { description: `Allows what was observed at identity revision ${facts.identityRevision}.`, endpointSelector: { matchLabels: subject }, ...ingressRules, ...egressRules },
  };
  return { manifest, flows, notes };
}

function orNothing(rules: readonly CiliumRule[]): readonly CiliumRule[] {
  return rules.length > 0 ? rules : [{}];
}

/** A DNS label from the labels' values, made unique in the namespace. */
function nameOf({ subject, workload: { namespace } }: Collected, taken: Set<string>): string {
  const text = Object.values(subject).join('-').toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '');
  const base = `observed-${text === '' ? 'all' : text}`.slice(0, 59).replace(/-+$/, '');
  let name = base;
  for (let i = 2; taken.has(`${namespace}/${name}`); i++) name = `${base}-${i}`;
  taken.add(`${namespace}/${name}`);
  return name;
}
