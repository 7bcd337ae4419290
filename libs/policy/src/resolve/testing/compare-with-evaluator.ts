/** Holds the resolved tables against the evaluator, packet by packet. For tests only. */

import { PolicyEngine } from '../../evaluate/engine.ts';
import type { ClusterFacts, Protocol } from '../../facts.ts';
import { LookupTables } from '../../lookup.ts';
import type { PolicySet } from '../../policy-set.ts';
import { PROTOCOL_NUMBER, type Direction, type ResolvedNode } from '../../resolution.ts';
import type { FlowEnd, FlowQuery } from '../../verdict.ts';
import { NAMES, OUTSIDE, PORTS } from './arbitrary-cluster.ts';

export interface Packet {
  readonly protocol: Protocol;
  /** ICMP: the type. */
  readonly port: number;
}

export const PACKETS: readonly Packet[] = [
  ...PORTS.flatMap((port) => [{ protocol: 'TCP' as const, port }, { protocol: 'UDP' as const, port }]),
  { protocol: 'SCTP', port: 80 },
  { protocol: 'SCTP', port: 9090 },
  { protocol: 'ICMP', port: 0 },
  { protocol: 'ICMP', port: 8 },
  { protocol: 'ICMPv6', port: 128 },
];

export interface Difference {
  readonly endpoint: string;
  readonly peer: string;
  readonly direction: Direction;
  readonly packet: Packet;
  readonly evaluated: string;
  readonly lookedUp: string;
}

/** Compares every local endpoint with every address the facts know and some outside, in both directions. */
export function compareNode(policies: PolicySet, facts: ClusterFacts, node: ResolvedNode, packets: readonly Packet[], mode: 'live' | 'all' = 'live'): { readonly tuples: number; readonly differences: readonly Difference[] } {
  const engine = new PolicyEngine(policies, facts, { policies: mode });
  const tables = new LookupTables(node);
  const differences: Difference[] = [];
  let tuples = 0;
  for (const endpoint of node.endpoints) {
    const subject: FlowEnd = endpoint.key.startsWith('node/') ? { node: endpoint.key.slice(5) } : { workload: endpoint.key };
    const own = new Set(facts.workloads.find(({ key }) => key === endpoint.key)?.addresses ?? []);
    for (const { network, address, names } of peersOf(facts)) {
      const peer: FlowEnd = { address, network, ...(names === undefined ? {} : { names }) };
      if (own.has(address)) continue;
      const found = tables.classOf(network, address);
      const peerClass = names === undefined ? found?.peerClass : tables.classOfLearned(network, address, names);
      if (found === undefined || peerClass === undefined) throw new Error(`${address} has no class in network ${network}.`);
      for (const packet of packets) {
        for (const direction of ['egress', 'ingress'] as const) {
          tuples++;
          const flow = direction === 'egress' ? flowOf(subject, peer, packet) : flowOf(peer, subject, packet);
          const verdict = engine.verdict(flow)[direction];
          const entry = tables.lookup(endpoint.key, { direction, peerClass, protocol: PROTOCOL_NUMBER[packet.protocol], port: packet.port });
          const evaluated = `${verdict.connection} by ${verdict.ruleId}`;
          const lookedUp = `${entry?.verdict ?? 'allow'} by ${entry?.ruleId ?? 0}`;
          if (evaluated !== lookedUp) differences.push({ endpoint: endpoint.key, peer: address, direction, packet, evaluated, lookedUp });
        }
      }
    }
  }
  return { tuples, differences };
}

function peersOf(facts: ClusterFacts): { network: string; address: string; names?: readonly string[] }[] {
  return [
    ...facts.workloads.flatMap(({ network, addresses, hostNetwork }) => (hostNetwork === true ? [] : addresses.map((address) => ({ network, address })))),
    ...facts.nodes.flatMap(({ addresses }) => addresses.map((address) => ({ network: 'default', address }))),
    ...(facts.reserved ?? []).flatMap(({ network, addresses }) => addresses.map((address) => ({ network, address }))),
    ...OUTSIDE.map((address) => ({ network: 'default', address })),
    ...OUTSIDE.slice(0, 4).map((address, i) => ({ network: 'default', address, names: NAMES.filter((_, n) => n === i || n === (i * 7) % 3) })),
  ];
}

function flowOf(source: FlowEnd, destination: FlowEnd, { protocol, port }: Packet): FlowQuery {
  const icmp = protocol === 'ICMP' || protocol === 'ICMPv6';
  return { source, destination, protocol, ...(icmp ? { icmpType: port } : { port }) };
}
