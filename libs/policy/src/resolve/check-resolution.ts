/** Holds what was resolved for a node against the evaluator, on tuples drawn from the policies and the facts themselves. */

import { PolicyEngine } from '../evaluate/engine.ts';
import type { ClusterFacts, Protocol } from '../facts.ts';
import { formatAddress, parsePrefix } from '../ip-address.ts';
import type { PolicyRule } from '../ir.ts';
import { LookupTables } from '../lookup.ts';
import type { PolicySet } from '../policy-set.ts';
import { PROTOCOL_NUMBER, type Direction, type ResolvedNode } from '../resolution.ts';
import type { FlowEnd, FlowQuery } from '../verdict.ts';

export interface ResolutionCheckOptions {
  /** How many tuples are drawn; endpoints, peers and ports are spread over them. */
  readonly tuples: number;
  /** The same seed draws the same tuples. */
  readonly seed: number;
  /** As the node was resolved with; `live` by default. */
  readonly policies?: 'live' | 'all';
}

/** A tuple on which the kernel's lookup and the evaluator disagree. */
export interface ResolutionDifference {
  readonly endpoint: string;
  readonly peer: string;
  readonly direction: Direction;
  readonly protocol: Protocol;
  /** ICMP: the type. */
  readonly port: number;
  /** `verdict by rule id`. */
  readonly evaluated: string;
  readonly resolved: string;
}

interface Packet {
  readonly protocol: Protocol;
  readonly port: number;
}

interface Peer {
  readonly network: string;
  readonly address: string;
}

const OUTSIDE = ['192.0.2.1', '198.51.100.7', '203.0.113.200', '2001:db8::1', '2001:db8:ffff::9'];
const MAX_DIFFERENCES = 20;

/**
 * Draws tuples (endpoint, peer, direction, protocol, port) and compares both answers. Peers that are known by DNS names
 * are left out: what a name stands for is learned on the node.
 * @returns how many tuples were compared, and the first differences
 */
export function checkResolution(policies: PolicySet, facts: ClusterFacts, node: ResolvedNode, options: ResolutionCheckOptions): { readonly tuples: number; readonly differences: readonly ResolutionDifference[] } {
  const engine = new PolicyEngine(policies, facts, { policies: options.policies ?? 'live' });
  const tables = new LookupTables(node);
  const rules = policies.policies.flatMap((policy) => policy.blocks.flatMap((block) => block.rules));
  const peers = [...knownPeers(facts), ...rules.flatMap(prefixPeers), ...OUTSIDE.map((address) => ({ network: 'default', address }))];
  const packets = packetsOf(rules);
  const own = new Map(facts.workloads.map(({ key, addresses }) => [key, new Set(addresses)]));
  const draw = generator(options.seed);
  const differences: ResolutionDifference[] = [];
  let tuples = 0;
  for (let drawn = 0; node.endpoints.length > 0 && drawn < options.tuples && differences.length < MAX_DIFFERENCES; drawn += 1) {
    const { key } = node.endpoints[drawn % node.endpoints.length]!;
    const peer = peers[draw(peers.length)]!;
    const packet = packets[draw(packets.length)]!;
    const direction: Direction = draw(2) === 0 ? 'ingress' : 'egress';
    const peerClass = tables.classOf(peer.network, peer.address)?.peerClass;
    if (peerClass === undefined || own.get(key)?.has(peer.address) === true) continue;
    tuples += 1;
    const verdict = engine.verdict(flowOf(key, peer, packet, direction))[direction];
    const entry = tables.lookup(key, { direction, peerClass, protocol: PROTOCOL_NUMBER[packet.protocol], port: packet.port });
    const evaluated = `${verdict.connection} by ${verdict.ruleId}`;
    const resolved = `${entry?.verdict ?? 'allow'} by ${entry?.ruleId ?? 0}`;
    if (evaluated !== resolved) differences.push({ endpoint: key, peer: peer.address, direction, ...packet, evaluated, resolved });
  }
  return { tuples, differences };
}

function knownPeers(facts: ClusterFacts): Peer[] {
  return [
    ...facts.workloads.flatMap(({ network, addresses, hostNetwork }) => (hostNetwork === true ? [] : addresses.map((address) => ({ network, address })))),
    ...facts.nodes.flatMap(({ addresses }) => addresses.map((address) => ({ network: 'default', address }))),
    ...(facts.reserved ?? []).flatMap(({ network, addresses }) => addresses.map((address) => ({ network, address }))),
  ];
}

/** The first address of every prefix that a rule names: borders are where resolving goes wrong. */
function prefixPeers(rule: PolicyRule): Peer[] {
  return rule.peers.flatMap((peer) => (peer.kind === 'cidr' ? [peer.cidr, ...peer.except] : [])).flatMap((cidr) => {
    const prefix = parsePrefix(cidr);
    return prefix === undefined ? [] : [{ network: 'default', address: formatAddress(prefix) }];
  });
}

function packetsOf(rules: readonly PolicyRule[]): readonly Packet[] {
  const packets = new Map<string, Packet>();
  const add = (protocol: Protocol, port: number): void => {
    if (port >= 0 && port <= 65_535) packets.set(`${protocol} ${port}`, { protocol, port });
  };
  for (const port of [1, 53, 80, 443, 65_535]) for (const protocol of ['TCP', 'UDP'] as const) add(protocol, port);
  add('ICMP', 8);
  add('ICMPv6', 128);
  for (const match of rules.flatMap((rule) => rule.ports.flatMap((clause) => clause.ports))) {
    if (match.kind === 'range') for (const port of [match.first - 1, match.first, match.last, match.last + 1]) add(match.protocol, port);
    if (match.kind === 'icmp') add(match.protocol, match.type);
  }
  return [...packets.values()];
}

function flowOf(endpoint: string, { network, address }: Peer, { protocol, port }: Packet, direction: Direction): FlowQuery {
  const subject: FlowEnd = endpoint.startsWith('node/') ? { node: endpoint.slice(5) } : { workload: endpoint };
  const peer: FlowEnd = { network, address };
  const icmp = protocol === 'ICMP' || protocol === 'ICMPv6';
  return { ...(direction === 'egress' ? { source: subject, destination: peer } : { source: peer, destination: subject }), protocol, ...(icmp ? { icmpType: port } : { port }) };
}

/** Mulberry32: numbers below a bound, the same for the same seed. */
function generator(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}
