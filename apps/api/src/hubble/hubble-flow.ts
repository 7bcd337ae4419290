import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs, type Timestamp } from '@bufbuild/protobuf/wkt';
import type { StoredFlow } from '@palisade/control';
import { FLOW_DIRECTION, VERDICT, type DropReason as FlowDropReason, type FlowEnd, type FlowPolicy } from '@palisade/flow';
import {
  DropReason, FlowSchema, FlowType, IPVersion, L7FlowType, TraceObservationPoint, type EndpointSchema, type Flow, type Layer4Schema, type Layer7Schema, type PolicySchema,
} from './generated/flow/flow_pb.ts';

/** Hubble's numbers for our reasons. */
export const HUBBLE_DROP_REASON: Readonly<Record<FlowDropReason, DropReason>> = {
  'policy-denied': DropReason.POLICY_DENIED,
  'policy-denied-by-rule': DropReason.POLICY_DENY,
  'invalid-packet': DropReason.INVALID_PACKET_DROPPED,
  'fragment-unknown': DropReason.FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND,
  'unsupported-protocol': DropReason.UNKNOWN_L4_PROTOCOL,
  'table-full': DropReason.CT_MAP_INSERTION_FAILED,
  'l7-denied': DropReason.POLICY_DENIED,
  'l7-unparsed': DropReason.POLICY_DENIED,
  'invalid-connection-state': DropReason.UNKNOWN_CONNECTION_TRACKING_STATE,
};

/** Cilium's event types: 1 drop, 4 trace, 5 policy verdict, 129 access log. */
export const EVENT_TYPE = { drop: 1, trace: 4, policyVerdict: 5, accessLog: 129 } as const;

export function hubbleTime(us: number): Timestamp {
  const ms = Math.floor(us / 1000);
  const time = timestampFromMs(ms);
  return { ...time, nanos: time.nanos + (us - ms * 1000) * 1000 };
}

export function microseconds({ seconds, nanos }: Timestamp): number {
  return Number(seconds) * 1_000_000 + Math.floor(nanos / 1000);
}

/** Type and subtype that a Cilium agent would give the event. */
export function eventTypeOf(flow: StoredFlow): { type: number; subType: number } {
  if (flow.http !== undefined || flow.dns !== undefined) return { type: EVENT_TYPE.accessLog, subType: 0 };
  if (flow.verdict === 'dropped') return { type: EVENT_TYPE.drop, subType: flow.dropReason === undefined ? 0 : HUBBLE_DROP_REASON[flow.dropReason] };
  if (flow.event === 'new' && flow.policies.length > 0) return { type: EVENT_TYPE.policyVerdict, subType: 0 };
  return { type: EVENT_TYPE.trace, subType: observationPoint(flow) };
}

function observationPoint({ direction }: StoredFlow): TraceObservationPoint {
  return direction === 'ingress' ? TraceObservationPoint.TO_ENDPOINT : TraceObservationPoint.FROM_ENDPOINT;
}

function endpoint(end: FlowEnd): MessageInitShape<typeof EndpointSchema> {
  return {
    identity: end.identity,
    labels: [...end.labels],
    namespace: end.namespace ?? '',
    podName: end.workload ?? '',
    clusterName: end.cluster ?? '',
    workloads: end.workload === undefined ? [] : [{ name: end.workload, kind: '' }],
  };
}

/** RFC 9293 §3.1 and RFC 3168: one bit per flag, FIN lowest. */
const TCP_FLAGS = { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ECE: 64, CWR: 128, NS: 256 } as const;
type TcpFlagName = keyof typeof TCP_FLAGS;
const TCP_FLAG_NAMES = Object.keys(TCP_FLAGS) as readonly TcpFlagName[];

/** The bits of a message of flags. */
export function tcpFlagMask(flags: { readonly [Name in TcpFlagName]: boolean }): number {
  return TCP_FLAG_NAMES.reduce((mask, name) => (flags[name] ? mask | TCP_FLAGS[name] : mask), 0);
}

function hasTcpFlag(flow: StoredFlow, flag: TcpFlagName): boolean {
  return (flow.tcpFlags & TCP_FLAGS[flag]) !== 0;
}

function layer4(flow: StoredFlow): MessageInitShape<typeof Layer4Schema> {
  const ports = { sourcePort: flow.source.port, destinationPort: flow.destination.port };
  const icmp = { type: flow.destination.port, code: 0 };
  switch (flow.protocol) {
    case 6: return { protocol: { case: 'TCP', value: { ...ports, flags: Object.fromEntries(TCP_FLAG_NAMES.map((flag) => [flag, hasTcpFlag(flow, flag)])) } } };
    case 17: return { protocol: { case: 'UDP', value: ports } };
    case 132: return { protocol: { case: 'SCTP', value: ports } };
    case 1: return { protocol: { case: 'ICMPv4', value: icmp } };
    case 58: return { protocol: { case: 'ICMPv6', value: icmp } };
    default: return {};
  }
}

function layer7({ http, dns }: StoredFlow): MessageInitShape<typeof Layer7Schema> | undefined {
  if (http !== undefined) {
    return {
      type: http.status === undefined ? L7FlowType.REQUEST : L7FlowType.RESPONSE,
      latencyNs: BigInt(http.latencyUs ?? 0) * 1000n,
      record: { case: 'http', value: { code: http.status ?? 0, method: http.method, url: http.path, protocol: 'HTTP/1.1' } },
    };
  }
  if (dns === undefined) return undefined;
  return {
    type: L7FlowType.RESPONSE,
    latencyNs: BigInt(dns.latencyUs ?? 0) * 1000n,
    record: { case: 'dns', value: { query: dns.query, ips: [...dns.addresses], rcode: dns.rcode, observationSource: 'agent', qtypes: addressTypes(dns.addresses), rrtypes: addressTypes(dns.addresses) } },
  };
}

/** Record types that the answer's addresses are of (RFC 1035 §3.4.1, RFC 3596 §2.1); flows do not keep the question's. */
function addressTypes(addresses: readonly string[]): string[] {
  return [...new Set(addresses.map((address) => (address.includes(':') ? 'AAAA' : 'A')))].toSorted();
}

function policies(list: readonly FlowPolicy[]): MessageInitShape<typeof PolicySchema>[] {
  return list.map((policy) => ({ name: policy.name, namespace: policy.namespace ?? '', kind: policy.kind, revision: BigInt(policy.revision), labels: [] }));
}

/** Cilium's kinds of a match; which part of a rule matched is not known, so a rule that did is told as one that matches all. */
const POLICY_MATCH = { none: 0, all: 4 } as const;

function policyMatchType({ policies: decided }: StoredFlow): number {
  return decided.some(({ index }) => index !== undefined) ? POLICY_MATCH.all : POLICY_MATCH.none;
}

/** Which policies let the flow pass or stopped it, in the field Hubble has for it. */
function correlation(flow: StoredFlow): Partial<Record<'egressAllowedBy' | 'ingressAllowedBy' | 'egressDeniedBy' | 'ingressDeniedBy', MessageInitShape<typeof PolicySchema>[]>> {
  if (flow.policies.length === 0) return {};
  const denied = flow.verdict === 'dropped' || flow.verdict === 'audit';
  return { [`${flow.direction}${denied ? 'DeniedBy' : 'AllowedBy'}`]: policies(flow.policies) };
}

function summary(flow: StoredFlow): string {
  if (flow.http !== undefined) return `HTTP ${flow.http.method} ${flow.http.path}${flow.http.status === undefined ? '' : ` ${flow.http.status}`}`;
  if (flow.dns !== undefined) return `DNS ${flow.dns.query} ${flow.dns.addresses.join(' ')}`.trim();
  if (flow.protocol === 6) {
    const flags = TCP_FLAG_NAMES.filter((flag) => hasTcpFlag(flow, flag));
    return flags.length === 0 ? 'TCP' : `TCP Flags: ${flags.join(', ')}`;
  }
  return { 1: 'ICMPv4', 17: 'UDP', 58: 'ICMPv6', 132: 'SCTP' }[flow.protocol] ?? `protocol ${flow.protocol}`;
}

/** A flow as Hubble's clients read it. */
export function hubbleFlow(flow: StoredFlow): Flow {
  const { type, subType } = eventTypeOf(flow);
  const l7 = layer7(flow);
  const reason = flow.dropReason === undefined ? DropReason.DROP_REASON_UNKNOWN : HUBBLE_DROP_REASON[flow.dropReason];
  return create(FlowSchema, {
    time: hubbleTime(flow.lastSeenUs),
    uuid: flow.id,
    verdict: VERDICT[flow.verdict],
    dropReason: reason,
    dropReasonDesc: reason,
    IP: { source: flow.source.address, destination: flow.destination.address, ipVersion: flow.source.address.includes(':') ? IPVersion.IPv6 : IPVersion.IPv4, encrypted: false },
    l4: layer4(flow),
    source: endpoint(flow.source),
    destination: endpoint(flow.destination),
    Type: l7 === undefined ? FlowType.L3_L4 : FlowType.L7,
    nodeName: nodeName(flow),
    sourceNames: [...(flow.source.dnsNames ?? [])],
    destinationNames: [...(flow.destination.dnsNames ?? [])],
    ...(l7 === undefined ? {} : { l7 }),
    reply: flow.isReply,
    isReply: flow.isReply,
    eventType: { type, subType },
    trafficDirection: FLOW_DIRECTION[flow.direction],
    policyMatchType: type === EVENT_TYPE.policyVerdict ? policyMatchType(flow) : POLICY_MATCH.none,
    traceObservationPoint: type === EVENT_TYPE.trace ? observationPoint(flow) : TraceObservationPoint.UNKNOWN_POINT,
    ...(flow.interface === undefined ? {} : { interface: { name: flow.interface } }),
    ...correlation(flow),
    Summary: summary(flow),
  });
}

/** `cluster/node`, as relay names nodes. */
export function nodeName(flow: StoredFlow): string {
  const cluster = flow.source.cluster ?? flow.destination.cluster;
  return cluster === undefined ? flow.node : `${cluster}/${flow.node}`;
}
