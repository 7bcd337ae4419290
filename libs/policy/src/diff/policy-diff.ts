/** What a change of policies means: who may newly reach whom on which ports, and who no longer may. */

import { PolicyEngine } from '../evaluate/engine.ts';
import type { ClusterFacts, Labels } from '../facts.ts';
import type { PolicySet } from '../policy-set.ts';
import type { FlowEnd, FlowQuery, FlowVerdict, VerdictReason } from '../verdict.ts';
import { changedPairs, type ChangedPair } from './changed-pairs.ts';
import { changedPolicies, changedSubjects, WorkloadGroups } from './changed-subjects.ts';
import { isTransport, joinSpans, portSpans, spanText, type PortSpan } from './port-spans.ts';

export interface DiffOptions {
  /** As in `EngineOptions`; `live` by default. */
  readonly policies?: 'live' | 'all';
  /** Pairs of ends looked at in detail; beyond it the diff says `truncated`. Default 20,000. */
  readonly maxPairs?: number;
  /** Changes reported; beyond it the diff says `truncated`. Default 500. */
  readonly maxChanges?: number;
}

/** Connections only: changes of content rules alone are reported as `content`. */
export type DiffEffect = 'newly-allowed' | 'newly-denied' | 'newly-audited' | 'content';

/** Ends that the change treats alike. */
export type DiffEnd =
  | { readonly kind: 'workloads'; readonly identity: number; readonly namespace: string; readonly labels: Labels }
  | { readonly kind: 'node'; readonly name: string }
  | { readonly kind: 'outside'; readonly address: string; readonly names?: readonly string[] };

export interface PolicyChange {
  readonly effect: DiffEffect;
  readonly from: readonly DiffEnd[];
  readonly to: DiffEnd;
  readonly ports: readonly PortSpan[];
  /** One of the connections. */
  readonly example: { readonly flow: FlowQuery; readonly before: DiffVerdict; readonly after: DiffVerdict };
}

/** The end whose verdict decided, and why. */
export interface DiffVerdict {
  readonly verdict: FlowVerdict;
  readonly reason: VerdictReason;
  readonly ruleId: number;
}

export interface PolicyDiff {
  /** Denials first, then by destination. */
  readonly changes: readonly PolicyChange[];
  /** Pairs of ends whose tables differ and that were looked at in detail. */
  readonly comparedPairs: number;
  /** There is more than the limits let in; what is reported is exact. */
  readonly truncated: boolean;
}

/**
 * Compares two policy sets over one view of the cluster, both ends of every connection taken together. Exact over the
 * workloads and nodes of the facts; of outside addresses one stands for each prefix that policies tell apart, of DNS names
 * one for each selector in a changed policy.
 */
export function diffPolicies(before: PolicySet, after: PolicySet, facts: ClusterFacts, options: DiffOptions = {}): PolicyDiff {
  const { policies = 'live', maxPairs = 20_000, maxChanges = 500 } = options;
  const changed = changedPolicies(before, after);
  const groups = new WorkloadGroups(before, after);
  const comparison = new Comparison(before, after, facts, policies);
  let truncated = false;
  for (const pair of changedPairs(before, after, facts, changedSubjects(changed, facts, groups), changed, groups, policies)) {
    if (comparison.pairs >= maxPairs) {
      truncated = true;
      break;
    }
    comparison.add(pair);
  }
  const changes = comparison.changes();
  return { changes: changes.slice(0, maxChanges), comparedPairs: comparison.pairs, truncated: truncated || changes.length > maxChanges };
}

interface Found {
  readonly effect: DiffEffect;
  readonly from: DiffEnd;
  readonly to: DiffEnd;
  readonly spans: PortSpan[];
  readonly example: PolicyChange['example'];
}

class Comparison {
  private readonly before: PolicyEngine;
  private readonly after: PolicyEngine;
  private readonly workloads: ReadonlyMap<string, { readonly identity: number; readonly namespace: string }>;
  private readonly labels: ReadonlyMap<number, Labels>;
  private readonly found = new Map<string, Found>();
  private readonly seen = new Set<string>();

  constructor(before: PolicySet, after: PolicySet, facts: ClusterFacts, policies: 'live' | 'all') {
    this.before = new PolicyEngine(before, facts, { policies });
    this.after = new PolicyEngine(after, facts, { policies });
    this.workloads = new Map(facts.workloads.map((workload) => [workload.key, workload]));
    this.labels = new Map(facts.identities.map(({ id, labels }) => [id, labels]));
  }

  get pairs(): number {
    return this.seen.size;
  }

  add({ subject, direction, peer }: ChangedPair): void {
    const own: FlowEnd = subject.key.startsWith('node/') ? { node: subject.key.slice('node/'.length) } : { workload: subject.key };
    const [from, to] = direction === 'egress' ? [own, peer.end] : [peer.end, own];
    const pair = JSON.stringify([from, to]);
    if (this.seen.has(pair)) return;
    this.seen.add(pair);
    for (const span of portSpans([this.before, this.after], from, to)) {
      if (!peer.addresses.some((address) => fits(span, address))) continue;
      const flow: FlowQuery = { source: from, destination: to, protocol: span.protocol, ...(isTransport(span.protocol) ? { port: span.first } : { icmpType: span.first }) };
      const change = this.compare(flow);
      if (change !== undefined) this.note(change.effect, from, to, span, change.example);
    }
  }

  private compare(flow: FlowQuery): { effect: DiffEffect; example: PolicyChange['example'] } | undefined {
    const old = this.before.verdict(flow);
    const fresh = this.after.verdict(flow);
    const effect = effectOf(old.verdict, fresh.verdict) ?? (contentOf(old) === contentOf(fresh) ? undefined : 'content');
    if (effect === undefined) return undefined;
    return { effect, example: { flow, before: deciding(old), after: deciding(fresh) } };
  }

  private note(effect: DiffEffect, from: FlowEnd, to: FlowEnd, span: PortSpan, example: PolicyChange['example']): void {
    const [fromEnd, toEnd] = [this.describe(from), this.describe(to)];
    const key = JSON.stringify([effect, fromEnd, toEnd]);
    const known = this.found.get(key);
    if (known === undefined) this.found.set(key, { effect, from: fromEnd, to: toEnd, spans: [span], example });
    else known.spans.push(span);
  }

  /** Changes with the same effect, destination and ports, their sources together. */
  changes(): PolicyChange[] {
    const grouped = new Map<string, { effect: DiffEffect; from: DiffEnd[]; to: DiffEnd; ports: readonly PortSpan[]; example: PolicyChange['example'] }>();
    for (const { effect, from, to, spans, example } of this.found.values()) {
      const ports = joinSpans(spans);
      const key = JSON.stringify([effect, to, ports]);
      const known = grouped.get(key);
      if (known === undefined) grouped.set(key, { effect, from: [from], to, ports, example });
      else known.from.push(from);
    }
    return [...grouped].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, change]) => change).sort((a, b) => ORDER.indexOf(a.effect) - ORDER.indexOf(b.effect));
  }

  private describe(end: FlowEnd): DiffEnd {
    if ('workload' in end) {
      const workload = this.workloads.get(end.workload);
      const identity = workload?.identity ?? 0;
      return { kind: 'workloads', identity, namespace: workload?.namespace ?? '', labels: this.labels.get(identity) ?? {} };
    }
    if ('node' in end) return { kind: 'node', name: end.node };
    if ('entity' in end) return { kind: 'outside', address: end.address ?? end.entity };
    return { kind: 'outside', address: end.address, ...(end.names === undefined ? {} : { names: end.names }) };
  }
}

const ORDER: readonly DiffEffect[] = ['newly-denied', 'newly-audited', 'newly-allowed', 'content'];

function effectOf(before: FlowVerdict, after: FlowVerdict): DiffEffect | undefined {
  if (before === after) return undefined;
  if (after === 'deny') return 'newly-denied';
  return after === 'audit' ? 'newly-audited' : 'newly-allowed';
}

/** What happens to the content of an allowed connection. */
function contentOf({ verdict, egress, ingress }: ReturnType<PolicyEngine['verdict']>): string {
  if (verdict === 'deny') return '';
  return [egress, ingress].map(({ connection, policies }) => (connection === 'l7' ? JSON.stringify(policies.map((policy) => ({ ...policy, revision: 0 }))) : '')).join('|');
}

function deciding({ verdict, egress, ingress }: ReturnType<PolicyEngine['verdict']>): DiffVerdict {
  const one = [egress, ingress].find((direction) => direction.verdict === verdict && direction.ruleId !== 0) ?? [egress, ingress].find((direction) => direction.verdict === verdict) ?? ingress;
  return { verdict, reason: one.reason, ruleId: one.ruleId };
}

/** ICMP goes with IPv4, ICMPv6 with IPv6; the peer's address says which. */
function fits({ protocol }: PortSpan, address: string): boolean {
  if (protocol === 'ICMP') return !address.includes(':');
  return protocol !== 'ICMPv6' || address.includes(':');
}

/** One line per change, for people: `newly denied: shop app=web → shop app=db on TCP/5432`. */
export function renderDiff(diff: PolicyDiff): string {
  const lines = diff.changes.map(({ effect, from, to, ports }) => `${effect.replace('-', ' ')}: ${from.map(endText).join(', ')} → ${endText(to)} on ${ports.map(spanText).join(', ')}`);
  return [...(lines.length === 0 ? ['No connection is judged differently.'] : lines), ...(diff.truncated ? ['There are more changes than were looked at.'] : [])].join('\n');
}

function endText(end: DiffEnd): string {
  if (end.kind === 'node') return `node ${end.name}`;
  if (end.kind === 'outside') return `outside ${end.names?.join(' ') ?? end.address}`;
  const labels = Object.entries(end.labels).filter(([key]) => key.startsWith('k8s:') && !key.startsWith('k8s:io.'));
  return [end.namespace, ...labels.map(([key, value]) => `${key.slice('k8s:'.length)}=${value}`)].join(' ');
}
