/** NetworkPolicy to IR (rules 10–18). */

import type { Direction, LabelRequirement, Peer, PortMatch } from '@palisade/policy';
import { podsIn } from '../kubernetes/pod-selectors.ts';
import type { BlockDraft, RuleDraft } from '../policy-draft.ts';
import type { Read } from '../schema/readers.ts';
import type { networkPolicySpec, PeerSpec, PortSpec } from './schema.ts';

type Spec = Read<typeof networkPolicySpec>;

export function compileNetworkPolicy(namespace: string, spec: Spec): BlockDraft[] {
  return directionsOf(spec).map((direction) => ({
    spec: 0,
    tier: 'normal',
    priority: 0,
    direction,
    subject: { kind: 'endpoints', selector: podsIn(namespace, spec.podSelector ?? []) },
    isolates: true,
    rules: direction === 'ingress' ? ingressRules(namespace, spec) : egressRules(namespace, spec),
  }));
}

/** Rule 11: what policyTypes lists; without it ingress, and egress if there are egress rules. */
function directionsOf(spec: Spec): Direction[] {
  const types = spec.policyTypes ?? [];
  const listed = new Set<string>(types.length > 0 ? types : (spec.egress ?? []).length > 0 ? ['Ingress', 'Egress'] : ['Ingress']);
  const directions: Direction[] = [];
  if (listed.has('Ingress')) directions.push('ingress');
  if (listed.has('Egress')) directions.push('egress');
  return directions;
}

function ingressRules(namespace: string, spec: Spec): RuleDraft[] {
  return (spec.ingress ?? []).map(({ from, ports }, index) => ({
    index,
    section: 'ingress',
    action: 'allow',
    peers: peersOf(namespace, from),
    ports: clausesOf(ports),
  }));
}

function egressRules(namespace: string, spec: Spec): RuleDraft[] {
  return (spec.egress ?? []).map(({ to, ports }, index) => ({
    index,
    section: 'egress',
    action: 'allow',
    peers: peersOf(namespace, to),
    ports: clausesOf(ports),
  }));
}

/** Rule 13: missing and empty lists both mean anybody. */
function peersOf(namespace: string, peers: readonly PeerSpec[] | undefined): Peer[] {
  if (peers === undefined || peers.length === 0) return [{ kind: 'any' }];
  return peers.map((peer) => {
    if (peer.kind === 'block') return { kind: 'cidr', cidr: peer.cidr, except: peer.except, matchesPods: true };
    const pods: readonly LabelRequirement[] = peer.pods ?? [];
    return { kind: 'endpoints', selector: podsIn(peer.namespaces ?? namespace, pods) };
  });
}

function clausesOf(ports: readonly PortSpec[] | undefined): RuleDraft['ports'] {
  return [{ ports: ports === undefined || ports.length === 0 ? [{ kind: 'any' }] : ports.map(portMatch) }];
}

function portMatch({ protocol, port, endPort }: PortSpec): PortMatch {
  if (port === undefined) return { kind: 'range', protocol, first: 0, last: 65_535 };
  if (typeof port === 'string') return { kind: 'named', name: port, protocols: [protocol] };
  return { kind: 'range', protocol, first: port, last: endPort ?? port };
}
