/** `struct flow_event` → KernelFlowEvent. */

import { formatAddress } from './abi/address.ts';
import { FLOW_REPLY, FLOW_SHADOW, FLOW_TRANSLATED } from './abi/constants.ts';
import { FLOW_EVENT } from './abi/layouts.ts';
import { bytesText } from './abi/text.ts';
import type { KernelFlowEvent } from './kernel-event.ts';

const KINDS = ['new', 'new', 'delta', 'closed', 'dropped', 'shadow', 'l7', 'dns'] as const;
const VERDICTS = ['dropped', 'forwarded', 'audit', 'redirected'] as const;

/** Where a record stands in the sequence of its processor: a gap is a loss. */
export interface EventPosition {
  readonly cpu: number;
  readonly sequence: bigint;
}

/** Decodes the record at `at`. */
export function decodeFlowEvent(bytes: Uint8Array, at = 0): KernelFlowEvent & EventPosition {
  const record = FLOW_EVENT.decode(bytes, at);
  const shadow = (record.flags & FLOW_SHADOW) !== 0;
  return {
    event: KINDS[record.kind] ?? 'new',
    ifindex: record.ifindex,
    endpointSlot: record.slot,
    direction: record.direction === 1 ? 'egress' : 'ingress',
    source: formatAddress(record.source, record.family),
    destination: formatAddress(record.destination, record.family),
    sourcePort: record.source_port,
    destinationPort: record.destination_port,
    protocol: record.protocol,
    peerIdentity: record.peer_identity,
    verdict: VERDICTS[record.verdict] ?? 'error',
    dropReason: record.drop_reason,
    ruleId: record.rule_id,
    ...(shadow && { shadowVerdict: VERDICTS[record.shadow_verdict] ?? 'dropped', shadowRuleId: record.shadow_rule_id }),
    isReply: (record.flags & FLOW_REPLY) !== 0,
    packets: record.packets,
    bytes: record.bytes,
    replyPackets: record.reply_packets,
    replyBytes: record.reply_bytes,
    firstSeenNs: record.first_seen_ns,
    lastSeenNs: record.time_ns,
    tcpFlags: record.tcp_flags,
    datapathGeneration: record.generation,
    pid: record.pid,
    uid: record.uid,
    command: bytesText(record.command),
    ...((record.flags & FLOW_TRANSLATED) !== 0 && {
      serviceAddress: formatAddress(record.original_destination, record.family),
      servicePort: record.original_port,
    }),
    cpu: record.cpu,
    sequence: record.sequence,
  };
}
