/** Flows as OCSF Network Activity (class 4001, category 4), https://schema.ocsf.io/1.3.0/classes/network_activity. Pure. */
import type { FlowEnd, FlowRecord } from './flow-record.ts';

/** Version of the OCSF schema that the encoder follows; raised on purpose only. */
export const FLOW_OCSF_VERSION = '1.3.0';

type OcsfValue = string | number | boolean | undefined | readonly OcsfValue[] | { readonly [key: string]: OcsfValue };

const CLASS = 4001;
/** activity_id: 1 open, 2 close, 5 refuse, 6 traffic. */
function activityOf({ event, verdict }: FlowRecord): number {
  if (verdict === 'dropped') return 5;
  return event === 'new' ? 1 : event === 'closed' ? 2 : 6;
}

/** disposition_id: 1 allowed, 2 blocked, 10 detected (would be blocked), 99 other; action_id: 1 allowed, 2 denied, 99 other. */
const DISPOSITION = { forwarded: [1, 1], redirected: [1, 1], dropped: [2, 2], audit: [10, 1], error: [99, 99] } as const;
const PROTOCOL_NAMES: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6', 132: 'sctp' };

function endpoint({ address, port, identity, labels, namespace, workload, cluster, node, dnsNames }: FlowEnd): OcsfValue {
  return {
    ip: address, port, uid: String(identity), name: workload, hostname: dnsNames?.[0], zone: cluster,
    // What OCSF has no attribute for keeps its own name.
    namespace, node, labels,
  };
}

function rule({ policies }: FlowRecord): OcsfValue {
  const [policy] = policies;
  if (policy === undefined) return undefined;
  return {
    uid: `${policy.kind}/${policy.namespace ?? ''}/${policy.name}`, name: policy.name, type: policy.kind, version: String(policy.revision),
    desc: policy.index === undefined ? `${policy.direction}: no rule matched` : `${policy.direction} rule ${policy.index}`,
  };
}

/** One flow; absent members are left out by JSON. `id` and `clusterId` are the store's. */
export function flowOcsf(flow: FlowRecord & { readonly id: string; readonly clusterId: string }): { readonly [key: string]: OcsfValue } {
  const activity = activityOf(flow);
  const [disposition, action] = DISPOSITION[flow.verdict];
  const ms = (us: number): number => Math.floor(us / 1000);
  return {
    class_uid: CLASS, class_name: 'Network Activity', category_uid: 4, category_name: 'Network Activity', activity_id: activity, type_uid: CLASS * 100 + activity,
    time: ms(flow.lastSeenUs), start_time: ms(flow.firstSeenUs), end_time: ms(flow.lastSeenUs), duration: ms(flow.lastSeenUs - flow.firstSeenUs), count: flow.weight,
    severity_id: flow.verdict === 'dropped' ? 2 : 1, status_id: flow.verdict === 'dropped' ? 2 : 1, status_detail: flow.dropReason,
    disposition_id: disposition, action_id: action, firewall_rule: rule(flow),
    metadata: { version: FLOW_OCSF_VERSION, uid: flow.id, profiles: ['security_control'], product: { name: 'Palisade', vendor_name: 'Palisade' }, log_name: flow.event },
    src_endpoint: endpoint(flow.source), dst_endpoint: endpoint(flow.destination),
    connection_info: {
      protocol_num: flow.protocol, protocol_name: PROTOCOL_NAMES[flow.protocol] ?? String(flow.protocol), protocol_ver_id: flow.source.address.includes(':') ? 6 : 4,
      direction_id: flow.direction === 'ingress' ? 1 : 2, tcp_flags: flow.protocol === 6 ? flow.tcpFlags : undefined,
    },
    traffic: {
      bytes: flow.bytes + flow.replyBytes, packets: flow.packets + flow.replyPackets, bytes_out: flow.bytes, bytes_in: flow.replyBytes, packets_out: flow.packets, packets_in: flow.replyPackets,
    },
    unmapped: {
      cluster_uid: flow.clusterId, node: flow.node, interface: flow.interface, verdict: flow.verdict, shadow_verdict: flow.shadowVerdict, is_reply: flow.isReply, origin: flow.origin,
      generation: flow.generation, policy_revision: flow.policyRevision, identity_revision: flow.identityRevision, rtt_us: flow.rttUs,
      http: flow.http && { ...flow.http }, dns: flow.dns && { ...flow.dns }, process: flow.process && { ...flow.process },
    },
  };
}
