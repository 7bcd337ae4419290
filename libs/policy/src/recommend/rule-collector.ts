/** Observed peers and ports of one subject and direction, written as the fewest Cilium rules. */

import type { FlowQuery } from '../verdict.ts';
import type { ObservedPeer } from './observed-peer.ts';

/** A rule of `spec.ingress` or `spec.egress`; `{}` allows nothing. */
export interface CiliumRule {
  readonly fromEndpoints?: readonly EndpointSelector[];
  readonly toEndpoints?: readonly EndpointSelector[];
  readonly fromEntities?: readonly string[];
  readonly toEntities?: readonly string[];
  readonly fromCIDR?: readonly string[];
  readonly toCIDR?: readonly string[];
  readonly toFQDNs?: readonly { readonly matchName: string }[];
  readonly toPorts?: readonly PortRule[];
  readonly icmps?: readonly { readonly fields: readonly { readonly type: number; readonly family: 'IPv4' | 'IPv6' }[] }[];
}

interface EndpointSelector {
  readonly matchLabels: Readonly<Record<string, string>>;
}

interface PortRule {
  readonly ports: readonly { readonly port: string; readonly protocol: string }[];
  readonly rules?: { readonly dns: readonly { readonly matchPattern: string }[] };
}

type Traffic = Pick<CiliumRule, 'toPorts' | 'icmps'>;

export class RuleCollector {
  private readonly direction: 'ingress' | 'egress';
  /** Peers by what they were seen doing. */
  private readonly seen = new Map<string, { readonly peer: ObservedPeer; readonly ports: Set<string>; readonly icmp: Set<string> }>();

  constructor(direction: 'ingress' | 'egress') {
    this.direction = direction;
  }

  add(peer: ObservedPeer, { protocol, port, icmpType }: FlowQuery): void {
    const key = JSON.stringify(peer);
    const entry = this.seen.get(key) ?? { peer, ports: new Set(), icmp: new Set() };
    this.seen.set(key, entry);
    if (icmpType !== undefined && (protocol === 'ICMP' || protocol === 'ICMPv6')) entry.icmp.add(`${protocol === 'ICMP' ? 'IPv4' : 'IPv6'} ${icmpType}`);
    else if (port !== undefined) entry.ports.add(`${protocol} ${port}`);
  }

  /** Peers of one kind with the same traffic share a rule. Adds to `notes` where a rule is wider than what was seen. */
  rules(maxAddresses: number, notes: string[]): CiliumRule[] {
    const learnsNames = [...this.seen.values()].some(({ peer }) => peer.kind === 'name');
    const grouped = new Map<string, { traffic: Traffic; peers: ObservedPeer[] }>();
    for (const { peer, ports, icmp } of this.seen.values()) {
      for (const traffic of trafficOf(ports, icmp, learnsNames && peer.kind === 'endpoints')) {
        const key = JSON.stringify([peer.kind, traffic]);
        const group = grouped.get(key) ?? { traffic, peers: [] };
        grouped.set(key, group);
        group.peers.push(peer);
      }
    }
    return [...grouped].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, { traffic, peers }]) => ({ ...this.peers(peers, maxAddresses, notes), ...traffic }));
  }

  private peers(peers: readonly ObservedPeer[], maxAddresses: number, notes: string[]): CiliumRule {
    const inbound = this.direction === 'ingress';
    const [first] = peers;
    switch (first?.kind) {
      case undefined:
        return {};
      case 'endpoints': {
        const selectors = sortedByText(peers.map((peer) => ({ matchLabels: peer.kind === 'endpoints' ? peer.labels : {} })));
        return inbound ? { fromEndpoints: selectors } : { toEndpoints: selectors };
      }
      case 'entity':
        return entities(inbound, peers.map((peer) => (peer.kind === 'entity' ? peer.entity : '')).sort());
      case 'name': {
        // Names are learned by the end that asks for them: at ingress there are only addresses.
        const names = peers.map((peer) => (peer.kind === 'name' ? peer.name : '')).sort();
        return inbound ? entities(true, ['world']) : { toFQDNs: names.map((matchName) => ({ matchName })) };
      }
      case 'address': {
        const addresses = peers.map((peer) => (peer.kind === 'address' ? peer.address : '')).sort();
        if (addresses.length > maxAddresses) {
          notes.push(`${addresses.length} outside addresses were seen at ${this.direction}: the rule allows all of the outside instead.`);
          return entities(inbound, ['world']);
        }
        const cidrs = addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`);
        return inbound ? { fromCIDR: cidrs } : { toCIDR: cidrs };
      }
    }
  }
}

function entities(inbound: boolean, names: readonly string[]): CiliumRule {
  return inbound ? { fromEntities: names } : { toEntities: names };
}

/** Ports and ICMP types cannot stand in one rule (rule 36). Port 53 shows its questions where names are to be learned. */
function trafficOf(ports: ReadonlySet<string>, icmp: ReadonlySet<string>, learnsNames: boolean): Traffic[] {
  const list = [...ports].map((text) => {
    const [protocol = 'TCP', port = '0'] = text.split(' ');
    return { port, protocol };
  });
  list.sort((a, b) => Number(a.port) - Number(b.port) || (a.protocol < b.protocol ? -1 : 1));
  const dns = learnsNames ? list.filter(({ port, protocol }) => port === '53' && protocol !== 'SCTP') : [];
  const plain = list.filter((port) => !dns.includes(port));
  const toPorts: PortRule[] = [...(plain.length > 0 ? [{ ports: plain }] : []), ...(dns.length > 0 ? [{ ports: dns, rules: { dns: [{ matchPattern: '*' }] } }] : [])];
  const fields = [...icmp].sort().map((text) => {
    const [family, type] = text.split(' ');
    return { type: Number(type), family: family === 'IPv6' ? ('IPv6' as const) : ('IPv4' as const) };
  });
  return [...(toPorts.length > 0 ? [{ toPorts }] : []), ...(fields.length > 0 ? [{ icmps: [{ fields }] }] : [])];
}

function sortedByText<T>(list: readonly T[]): T[] {
  return list.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}
