/** Peers of rules, compiled to predicates over ends. */

import type { CidrGroupFact, ServiceFact } from '../facts.ts';
import { compileFqdnSelector } from '../fqdn-pattern.ts';
import type { Entity, LabelSelector, Peer } from '../ir.ts';
import { networkOf, parseAddress, parsePrefix, prefixContains, ADDRESS_BITS, type IpPrefix } from '../ip-address.ts';
import { CLUSTER_KEY, compileRequirements, LabelView, NAMESPACE_KEY, withSource } from '../labels.ts';
import type { ClusterIndex, End } from './ends.ts';

/** True when the end is one the peer names, seen from an endpoint on `subjectNode` (undefined: on no known node). */
export type PeerTest = (end: End, subjectNode: string | undefined) => boolean;

/** Compiles peers against the facts; equal selectors share one compiled form and its memo. */
export class PeerCompiler {
  private readonly index: ClusterIndex;
  private readonly selectors = new Map<string, (labels: LabelView) => boolean>();

  constructor(index: ClusterIndex) {
    this.index = index;
  }

  compile(peer: Peer): PeerTest {
    switch (peer.kind) {
      case 'any':
        return () => true;
      case 'endpoints':
        return this.endpoints(peer.selector);
      case 'entity':
        return (end, subjectNode) => isEntity(end, peer.entity, subjectNode);
      case 'cidr':
        return compileCidrs([peer.cidr], peer.except, peer.matchesPods);
      case 'cidr-group':
        return compileCidrs(
          this.groupCidrs((group) => group.name === peer.name),
          peer.except,
          false,
        );
      case 'cidr-group-selector': {
        const test = compileRequirements(peer.selector);
        return compileCidrs(
          this.groupCidrs((group) => test(new LabelView(group.labels))),
          peer.except,
          false,
        );
      }
      case 'fqdn': {
        const test = compileFqdnSelector(peer.name);
        return (end) => end.kind === 'outside' && end.names.some(test);
      }
      case 'service':
        return this.services((service) => service.name === peer.name && inNamespace(service, peer.namespace));
      case 'service-selector': {
        const test = compileRequirements(peer.selector);
        return this.services((service) => inNamespace(service, peer.namespace) && test(new LabelView(service.labels)));
      }
      case 'nodes':
        return this.nodes(peer.selector, peer.scope);
    }
  }

  /** A selector over identity labels, memoised per label set. */
  selector(selector: LabelSelector): (labels: LabelView) => boolean {
    const key = JSON.stringify(selector.requirements);
    let test = this.selectors.get(key);
    if (test === undefined) {
      test = memoised(compileRequirements(selector));
      this.selectors.set(key, test);
    }
    return test;
  }

  private endpoints(selector: LabelSelector): PeerTest {
    const test = this.selector(selector);
    const { clusterName } = this.index.facts;
    if (selector.localCluster) return (end) => end.kind === 'workload' && isLocal(end, clusterName) && test(end.labels);
    return (end, subjectNode) => test(labelsSeenFrom(end, subjectNode));
  }

  private nodes(selector: LabelSelector, scope: 'remote' | 'all'): PeerTest {
    const test = this.selector(selector);
    return (end, subjectNode) => {
      if (end.kind !== 'node' || end.nodeLabels === undefined) return false;
      return (scope === 'all' || !isOwnNode(end, subjectNode)) && test(end.nodeLabels);
    };
  }

  private groupCidrs(matches: (group: CidrGroupFact) => boolean): string[] {
    return this.index.facts.cidrGroups.filter(matches).flatMap((group) => group.cidrs);
  }

  /** A service with a selector stands for the pods of its namespace, one without for its addresses (rule 45). */
  private services(matches: (service: ServiceFact) => boolean): PeerTest {
    const found = this.index.facts.services.filter(matches);
    const addresses = found.filter((service) => !selectsPods(service)).flatMap((service) => service.endpointAddresses ?? []);
    const byAddress = compileCidrs(addresses.map(hostCidr), [], false);
    const podTests = found.map(servicePods);
    return (end, subjectNode) => (end.kind === 'workload' ? podTests.some((test) => test(end)) : byAddress(end, subjectNode));
  }
}

function inNamespace(service: ServiceFact, namespace: string | undefined): boolean {
  return namespace === undefined || service.namespace === namespace;
}

/** An empty selector is none, as Kubernetes has it. */
function selectsPods({ selector = {} }: ServiceFact): boolean {
  return Object.keys(selector).length > 0;
}

function servicePods(service: ServiceFact): (end: End) => boolean {
  if (!selectsPods(service)) return () => false;
  const wanted = Object.entries(service.selector ?? {}).map(([key, value]) => [withSource(key), value] as const);
  return (end) => end.labels.get(`k8s:${NAMESPACE_KEY}`) === service.namespace && wanted.every(([key, value]) => end.labels.get(key) === value);
}

function memoised(test: (labels: LabelView) => boolean): (labels: LabelView) => boolean {
  let known = new Uint8Array(64);
  return (labels) => {
    const at = labels.ordinal;
    if (at >= known.length) {
      const grown = new Uint8Array(Math.max(at + 1, known.length * 2));
      grown.set(known);
      known = grown;
    }
    if (known[at] === 0) known[at] = test(labels) ? 2 : 1;
    return known[at] === 2;
  };
}

/** Initializing pods have no labels yet, not even that of their cluster. */
function isLocal(end: End, clusterName: string): boolean {
  if (end.reserved === 'init') return false;
  const cluster = end.labels.get(`k8s:${CLUSTER_KEY}`);
  return cluster === undefined || cluster === clusterName;
}

export function isOwnNode(end: End, subjectNode: string | undefined): boolean {
  return end.kind === 'node' && end.node !== undefined && end.node === subjectNode;
}

function labelsSeenFrom(end: End, subjectNode: string | undefined): LabelView {
  return end.remoteLabels !== undefined && !isOwnNode(end, subjectNode) ? end.remoteLabels : end.labels;
}

/** Rule 41. */
export function isEntity(end: End, entity: Entity, subjectNode: string | undefined): boolean {
  switch (entity) {
    case 'all':
      return true;
    case 'none':
      return false;
    case 'world':
      return end.kind === 'outside';
    case 'world-ipv4':
      return end.kind === 'outside' && end.families.includes(4);
    case 'world-ipv6':
      return end.kind === 'outside' && end.families.includes(6);
    case 'cluster':
      return end.kind !== 'outside' || end.kubeApiserver;
    case 'host':
      return isOwnNode(end, subjectNode);
    case 'remote-node':
      return end.kind === 'node' && !isOwnNode(end, subjectNode);
    case 'kube-apiserver':
      return end.kubeApiserver;
    case 'health':
    case 'init':
    case 'unmanaged':
    case 'ingress':
      return end.reserved === entity;
  }
}

/** One address in a CIDR and in no exception (rules 15, 42); outside ends only, unless `matchesPods`. */
function compileCidrs(cidrs: readonly string[], except: readonly string[], matchesPods: boolean): PeerTest {
  const networks = prefixes(cidrs);
  const holes = prefixes(except);
  return (end) => {
    if (!matchesPods && end.kind !== 'outside') return false;
    if (end.addresses.length === 0) return networks.some((network) => network.length === 0 && end.families.includes(network.family));
    return end.addresses.some(
      (address) => networks.some((network) => prefixContains(network, address)) && !holes.some((hole) => prefixContains(hole, address)),
    );
  };
}

function prefixes(texts: readonly string[]): IpPrefix[] {
  return texts.map(readPrefix).filter((prefix) => prefix !== undefined);
}

/** A CIDR, or a bare address as the network of itself. */
function readPrefix(text: string): IpPrefix | undefined {
  const address = parseAddress(text);
  return address === undefined ? parsePrefix(text) : networkOf(address, ADDRESS_BITS[address.family]);
}

function hostCidr(address: string): string {
  return address.includes(':') ? `${address}/128` : `${address}/32`;
}
