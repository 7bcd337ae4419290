/** Answers made of edges: service map, top talkers, causes of drops, changes between two windows. Pure. */
import { latencyQuantileUs, type FlowEdge, type FlowParty } from './flow-edge.ts';
import type { DropReason, FlowPolicy, Verdict } from './flow-record.ts';

/** One connection of the service map: all verdicts between two parties on one port. */
export interface ServiceConnection {
  readonly source: FlowParty;
  readonly destination: FlowParty;
  readonly port: number;
  readonly protocol: number;
  readonly flowsByVerdict: Readonly<Partial<Record<Verdict, number>>>;
  readonly flows: number;
  readonly packets: number;
  readonly bytes: number;
  readonly replyBytes: number;
  readonly flowsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly http?: HttpSignals;
}

export interface HttpSignals {
  readonly requests: number;
  readonly requestsPerSecond: number;
  /** 0 to 1. */
  readonly errorRate: number;
  readonly p50Us?: number;
  readonly p95Us?: number;
  readonly p99Us?: number;
}

export function partyKey({ identity, namespace, workload, cluster, labels, dnsNames }: FlowParty): string {
  return JSON.stringify([identity, namespace, workload, cluster, labels, dnsNames]);
}

function connectionKey(edge: FlowEdge): string {
  return `${partyKey(edge.source)} ${partyKey(edge.destination)} ${edge.port} ${edge.protocol}`;
}

function sum(edges: readonly FlowEdge[], field: 'flows' | 'packets' | 'bytes' | 'replyBytes'): number {
  return edges.reduce((total, edge) => total + edge[field], 0);
}

function groups(edges: readonly FlowEdge[], key: (edge: FlowEdge) => string): [FlowEdge, ...FlowEdge[]][] {
  return [...Map.groupBy(edges, key).values()] as [FlowEdge, ...FlowEdge[]][];
}

function httpSignals(edges: readonly FlowEdge[], seconds: number): HttpSignals | undefined {
  const all = edges.flatMap(({ http }) => (http === undefined ? [] : [http]));
  const requests = all.reduce((total, http) => total + http.requests, 0);
  if (requests === 0) return undefined;
  const latency: number[] = [];
  for (const http of all) for (const [bucket, count] of http.latency.entries()) latency[bucket] = (latency[bucket] ?? 0) + count;
  const [p50Us, p95Us, p99Us] = [0.5, 0.95, 0.99].map((share) => latencyQuantileUs(latency, share));
  return {
    requests,
    requestsPerSecond: requests / seconds,
    errorRate: all.reduce((total, http) => total + http.errors, 0) / requests,
    ...(p50Us === undefined ? {} : { p50Us }),
    ...(p95Us === undefined ? {} : { p95Us }),
    ...(p99Us === undefined ? {} : { p99Us }),
  };
}

/** Who talks to whom on which port, busiest first. @param seconds length of the window */
export function serviceMap(edges: readonly FlowEdge[], seconds: number): ServiceConnection[] {
  return groups(edges, connectionKey)
    .map((own): ServiceConnection => {
      const [{ source, destination, port, protocol }] = own;
      const flowsByVerdict: Partial<Record<Verdict, number>> = {};
      for (const { verdict, flows } of own) flowsByVerdict[verdict] = (flowsByVerdict[verdict] ?? 0) + flows;
      const http = httpSignals(own, seconds);
      const flows = sum(own, 'flows');
      const bytes = sum(own, 'bytes');
      const replyBytes = sum(own, 'replyBytes');
      return {
        source, destination, port, protocol, flowsByVerdict, flows, packets: sum(own, 'packets'), bytes, replyBytes,
        flowsPerSecond: flows / seconds, bytesPerSecond: (bytes + replyBytes) / seconds, ...(http === undefined ? {} : { http }),
      };
    })
    .toSorted((a, b) => b.bytes + b.replyBytes - a.bytes - a.replyBytes || b.flows - a.flows);
}

export type TalkerMeasure = 'bytes' | 'packets' | 'flows';

export interface Talker {
  readonly party: FlowParty;
  readonly sent: number;
  readonly received: number;
}

/** Parties by what they sent and received together, most first. */
export function topTalkers(edges: readonly FlowEdge[], measure: TalkerMeasure, limit: number): Talker[] {
  const talkers = new Map<string, { party: FlowParty; sent: number; received: number }>();
  const add = (party: FlowParty, sent: number, received: number): void => {
    const key = partyKey(party);
    const talker = talkers.get(key) ?? { party, sent: 0, received: 0 };
    talker.sent += sent;
    talker.received += received;
    talkers.set(key, talker);
  };
  for (const edge of edges) {
    const back = measure === 'bytes' ? edge.replyBytes : measure === 'packets' ? edge.replyPackets : 0;
    add(edge.source, edge[measure], back);
    add(edge.destination, back, edge[measure]);
  }
  return [...talkers.values()].toSorted((a, b) => b.sent + b.received - a.sent - a.received).slice(0, limit);
}

export interface DropCause {
  readonly reason: DropReason | 'unknown';
  readonly verdict: Verdict;
  readonly policies: readonly FlowPolicy[];
  readonly flows: number;
  readonly packets: number;
  readonly bytes: number;
  /** The busiest of them. */
  readonly examples: readonly { readonly source: FlowParty; readonly destination: FlowParty; readonly port: number; readonly protocol: number; readonly flows: number }[];
}

/** What was dropped (and what would have been: audit), by reason and rule, most first. */
export function dropCauses(edges: readonly FlowEdge[]): DropCause[] {
  const denied = edges.filter(({ verdict }) => verdict === 'dropped' || verdict === 'audit' || verdict === 'error');
  return groups(denied, (edge) => JSON.stringify([edge.verdict, edge.dropReason, edge.policies]))
    .map((own): DropCause => {
      const [{ verdict, dropReason, policies }] = own;
      const examples = own.toSorted((a, b) => b.flows - a.flows).slice(0, 5);
      return {
        reason: dropReason ?? 'unknown', verdict, policies, flows: sum(own, 'flows'), packets: sum(own, 'packets'), bytes: sum(own, 'bytes'),
        examples: examples.map(({ source, destination, port, protocol, flows }) => ({ source, destination, port, protocol, flows })),
      };
    })
    .toSorted((a, b) => b.flows - a.flows);
}

export interface ConnectionChange {
  readonly change: 'appeared' | 'disappeared' | 'verdict' | 'rate';
  readonly source: FlowParty;
  readonly destination: FlowParty;
  readonly port: number;
  readonly protocol: number;
  readonly before?: ServiceConnection;
  readonly after?: ServiceConnection;
}

function deniedShare({ flowsByVerdict, flows }: ServiceConnection): number {
  return flows === 0 ? 0 : (flowsByVerdict.dropped ?? 0) / flows;
}

/** A change of the rate is worth telling from this factor on. */
const RATE_FACTOR = 2;

function kindOfChange(before: ServiceConnection | undefined, after: ServiceConnection | undefined): ConnectionChange['change'] | undefined {
  if (before === undefined) return 'appeared';
  if (after === undefined) return 'disappeared';
  if (Math.abs(deniedShare(before) - deniedShare(after)) >= 0.1) return 'verdict';
  const [less, more] = [before.bytesPerSecond, after.bytesPerSecond].toSorted((a, b) => a - b) as [number, number];
  return more > 0 && more >= less * RATE_FACTOR ? 'rate' : undefined;
}

/** What is different between two windows, new and vanished connections first. */
export function changesBetween(before: readonly ServiceConnection[], after: readonly ServiceConnection[]): ConnectionChange[] {
  const key = (one: ServiceConnection): string => `${partyKey(one.source)} ${partyKey(one.destination)} ${one.port} ${one.protocol}`;
  const earlier = new Map(before.map((one) => [key(one), one]));
  const later = new Map(after.map((one) => [key(one), one]));
  const order = ['appeared', 'disappeared', 'verdict', 'rate'];
  return [...new Set([...earlier.keys(), ...later.keys()])]
    .flatMap((one): ConnectionChange[] => {
      const [was, is] = [earlier.get(one), later.get(one)];
      const change = kindOfChange(was, is);
      const shown = is ?? was;
      if (change === undefined || shown === undefined) return [];
      const { source, destination, port, protocol } = shown;
      return [{ change, source, destination, port, protocol, ...(was === undefined ? {} : { before: was }), ...(is === undefined ? {} : { after: is }) }];
    })
    .toSorted((a, b) => order.indexOf(a.change) - order.indexOf(b.change));
}
