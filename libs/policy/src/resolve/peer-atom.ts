/** Distinct peers of rules, each matched once against everything it could name. */

import type { CidrGroupFact, ServiceFact } from '../facts.ts';
import type { LabelSelector, Peer } from '../ir.ts';
import { isEntity, isOwnNode } from '../evaluate/peer-match.ts';
import { ADDRESS_BITS, networkOf, parseAddress, parsePrefix, type IpPrefix } from '../ip-address.ts';
import { compileRequirements, LabelView, NAMESPACE_KEY, withSource } from '../labels.ts';
import { digestOfText, type Lanes } from './content-digest.ts';
import type { PeerBase } from './peer-base.ts';

export interface PeerAtom {
  /** Ascending in the order of discovery; only for comparing within one resolver. */
  readonly index: number;
  readonly peer: Peer;
  /** Canonical text of the peer: equal text, equal atom. */
  readonly key: string;
  readonly digest: Lanes;
  /** By labels and kind; absent where only addresses or names matter. */
  readonly matchesBase?: (base: PeerBase) => boolean;
  /** Only bases whose labels fulfil it can match; absent: all. */
  readonly narrow?: LabelSelector;
  /** What is left of `matchesBase` for bases that fulfil `narrow`. */
  readonly matchesBeyondLabels?: (base: PeerBase) => boolean;
  /** Addresses in `networks` and in none of `holes`. */
  readonly networks: readonly IpPrefix[];
  readonly holes: readonly IpPrefix[];
  /** The networks hold addresses of workloads and nodes too. */
  readonly matchesPods: boolean;
  /** Rules that use it, per name of a port that an egress rule with this peer mentions. */
  readonly portNames: Map<string, number>;
  uses: number;
}

/** What peers refer to by name. */
export interface ReferredFacts {
  readonly clusterName: string;
  readonly node: string;
  services(): Iterable<ServiceFact>;
  cidrGroups(): Iterable<CidrGroupFact>;
}

/** Compiles a peer against facts; facts that it refers to by name must not change while it is in use. */
export function compilePeerAtom(index: number, peer: Peer, key: string, facts: ReferredFacts): PeerAtom {
  const atom = { index, peer, key, digest: digestOfText(key), networks: [], holes: [], matchesPods: false, portNames: new Map<string, number>(), uses: 0 };
  switch (peer.kind) {
    case 'any':
      return { ...atom, matchesBase: () => true };
    case 'endpoints':
      return { ...atom, ...matchEndpoints(peer.selector, facts.clusterName) };
    case 'entity':
      return { ...atom, matchesBase: (base) => isEntity(base.nature.end, peer.entity, facts.node) };
    case 'cidr':
      return { ...atom, networks: prefixes([peer.cidr]), holes: prefixes(peer.except), matchesPods: peer.matchesPods };
    case 'cidr-group':
      return { ...atom, networks: groupNetworks(facts, (group) => group.name === peer.name), holes: prefixes(peer.except) };
    case 'cidr-group-selector': {
      const test = compileRequirements(peer.selector);
      return { ...atom, networks: groupNetworks(facts, (group) => test(new LabelView(group.labels))), holes: prefixes(peer.except) };
    }
    case 'fqdn':
      return atom;
    case 'service':
      return { ...atom, ...matchServices(facts, (service) => service.name === peer.name && inNamespace(service, peer.namespace)) };
    case 'service-selector': {
      const test = compileRequirements(peer.selector);
      return { ...atom, ...matchServices(facts, (service) => inNamespace(service, peer.namespace) && test(new LabelView(service.labels))) };
    }
    case 'nodes': {
      const test = compileRequirements(peer.selector);
      return {
        ...atom,
        matchesBase: ({ nature: { end } }) =>
          end.kind === 'node' && end.nodeLabels !== undefined && (peer.scope === 'all' || !isOwnNode(end, facts.node)) && test(end.nodeLabels),
      };
    }
  }
}

/** True for peers whose meaning hangs on services or CIDR groups. */
export function refersToFacts(peer: Peer): 'services' | 'cidrGroups' | undefined {
  if (peer.kind === 'service' || peer.kind === 'service-selector') return 'services';
  return peer.kind === 'cidr-group' || peer.kind === 'cidr-group-selector' ? 'cidrGroups' : undefined;
}

function matchEndpoints(selector: LabelSelector, clusterName: string): Pick<PeerAtom, 'narrow' | 'matchesBase' | 'matchesBeyondLabels'> {
  const test = compileRequirements(selector);
  const beyond = selector.localCluster ? (base: PeerBase): boolean => isLocalWorkload(base, clusterName) : (): boolean => true;
  return { narrow: selector, matchesBase: (base) => beyond(base) && test(base.nature.seen), matchesBeyondLabels: beyond };
}

function isLocalWorkload({ nature: { end, cluster } }: PeerBase, clusterName: string): boolean {
  // The labels of an initializing workload are not known yet, nor is its cluster.
  return end.kind === 'workload' && end.reserved !== 'init' && (cluster === undefined || cluster === clusterName);
}

function inNamespace(service: ServiceFact, namespace: string | undefined): boolean {
  return namespace === undefined || service.namespace === namespace;
}

function matchServices(facts: ReferredFacts, matches: (service: ServiceFact) => boolean): Pick<PeerAtom, 'matchesBase' | 'networks'> {
  const found = [...facts.services()].filter(matches);
  const bySelector = found.filter(({ selector }) => selector !== undefined && Object.keys(selector).length > 0);
  const byAddress = found.filter(({ selector }) => selector === undefined || Object.keys(selector).length === 0);
  const pods = bySelector.map(({ namespace, selector }) => {
    const wanted = Object.entries(selector ?? {}).map(([key, value]) => [withSource(key), value] as const);
    return (labels: LabelView) => labels.get(`k8s:${NAMESPACE_KEY}`) === namespace && wanted.every(([key, value]) => labels.get(key) === value);
  });
  return {
    matchesBase: ({ nature: { end, seen } }) => end.kind === 'workload' && pods.some((test) => test(seen)),
    networks: prefixes(byAddress.flatMap(({ endpointAddresses }) => endpointAddresses ?? [])),
  };
}

function groupNetworks(facts: ReferredFacts, matches: (group: CidrGroupFact) => boolean): IpPrefix[] {
  return prefixes([...facts.cidrGroups()].filter(matches).flatMap(({ cidrs }) => cidrs));
}

/** Canonical prefixes; a bare address is the network of itself, malformed text matches nothing. */
function prefixes(texts: readonly string[]): IpPrefix[] {
  return texts.map(readPrefix).filter((prefix) => prefix !== undefined);
}

function readPrefix(text: string): IpPrefix | undefined {
  const address = parseAddress(text);
  return address === undefined ? parsePrefix(text) : networkOf(address, ADDRESS_BITS[address.family]);
}
