/** ClusterNetworkPolicy to IR (rules 20–29). */

import { canonicalName, type Direction, type Peer, type PolicyRule, type PortMatch } from '@palisade/policy';
import { podsIn } from '../kubernetes/pod-selectors.ts';
import type { BlockDraft, RuleDraft } from '../policy-draft.ts';
import type { Read } from '../schema/readers.ts';
import type { clusterNetworkPolicySpec, PeerSpec } from './schema.ts';

type Spec = Read<ReturnType<typeof clusterNetworkPolicySpec>>;

interface RuleSpec {
  readonly name: string | undefined;
  readonly action: 'Accept' | 'Deny' | 'Pass';
  readonly peers: readonly PeerSpec[];
  readonly protocols: readonly PortMatch[] | undefined;
}

const ACTIONS = { Accept: 'allow', Deny: 'deny', Pass: 'pass' } as const satisfies Record<RuleSpec['action'], PolicyRule['action']>;

export function compileClusterNetworkPolicy(spec: Spec): BlockDraft[] {
  const ingress = (spec.ingress ?? []).map(({ from, ...rule }) => ({ ...rule, peers: from }));
  const egress = (spec.egress ?? []).map(({ to, ...rule }) => ({ ...rule, peers: to }));
  return [...block(spec, 'ingress', ingress), ...block(spec, 'egress', egress)];
}

/** Without rules a direction is untouched (rule 23). */
function block(spec: Spec, direction: Direction, rules: readonly RuleSpec[]): BlockDraft[] {
  if (rules.length === 0) return [];
  return [
    {
      spec: 0,
      tier: spec.tier === 'Admin' ? 'admin' : 'baseline',
      priority: spec.priority,
      direction,
      subject: { kind: 'endpoints', selector: podsIn(spec.subject.namespaces, spec.subject.pods) },
      isolates: false,
      rules: rules.map((rule, index) => compileRule(rule, direction, index)),
    },
  ];
}

function compileRule(rule: RuleSpec, direction: Direction, index: number): RuleDraft {
  const named = rule.name === undefined || rule.name === '' ? {} : { name: rule.name };
  // A Deny or Pass rule with a peer of a newer API denies everybody; an Accept rule matches nothing (rule 29).
  if (rule.action !== 'Accept' && rule.peers.some(({ kind }) => kind === 'unknown')) {
    return { index, section: direction, action: 'deny', peers: [{ kind: 'any' }], ports: [{ ports: [{ kind: 'any' }] }], ...named };
  }
  const ports: PortMatch[] = rule.protocols === undefined ? [{ kind: 'any' }] : [...rule.protocols];
  const understood = rule.peers.every(({ kind }) => kind !== 'unknown');
  return {
    index,
    section: direction,
    action: ACTIONS[rule.action],
    peers: understood ? rule.peers.flatMap(compilePeer) : [],
    ports: [{ ports }],
    ...named,
  };
}

function compilePeer(peer: PeerSpec): Peer[] {
  switch (peer.kind) {
    case 'pods':
      return [{ kind: 'endpoints', selector: podsIn(peer.namespaces, peer.pods) }];
    case 'nodes':
      return [{ kind: 'nodes', selector: { requirements: peer.nodes, localCluster: false }, scope: 'all' }];
    case 'networks':
      return peer.networks.map((cidr) => ({ kind: 'cidr', cidr, except: [], matchesPods: true }));
    case 'domainNames':
      return peer.names.map(domainPeer);
    case 'unknown':
      return [];
  }
}

/** `*.` stands for one or more labels here (rule 27), which patterns write `**.`. */
function domainPeer(name: string): Peer {
  const canonical = canonicalName(name);
  return canonical.startsWith('*.')
    ? { kind: 'fqdn', name: { kind: 'pattern', value: `**.${canonical.slice(2)}` } }
    : { kind: 'fqdn', name: { kind: 'name', value: canonical } };
}
