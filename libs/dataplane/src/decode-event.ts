/** `struct flow_event` → KernelFlowEvent. */

import { formatAddress } from './abi/address.ts';
import { FLOW_REPLY, FLOW_SHADOW, FLOW_TRANSLATED, VERDICT_NUMBER } from './abi/constants.ts';
import { FLOW_EVENT } from './abi/layouts.ts';
import { bytesText } from './abi/text.ts';
import type { KernelFlowEvent } from './kernel-event.ts';

const KINDS = ['new', 'new', 'delta', 'closed', 'dropped', 'shadow', 'l7', 'dns'] as const;
/** By number, as flows say it. Under soft rules what passes is forwarded: only the gate's connections are redirected. */
export const VERDICTS = ['dropped', 'forwarded', 'audit', 'redirected', 'forwarded'] as const;

/** Where a record stands in the sequence of its processor: a gap is a loss. */
export interface EventPosition {
  readonly cpu: number;
  /** Wraps at 2^32. */
  readonly sequence: number;
}

const UDP = 17;
const AT = FLOW_EVENT.offsets;

/** IPv4 is nearly all of the traffic: no slices for it. */
function address(bytes: Uint8Array, at: number, family: number): string {
  return family === 4 ? `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}` : formatAddress(bytes.subarray(at, at + 16), family);
}

/** Layer 7 over UDP is DNS, whose questions the programs judge themselves: nothing is redirected. */
function verdictOf(verdict: number, protocol: number): KernelFlowEvent['verdict'] {
  return verdict === VERDICT_NUMBER.l7 && protocol === UDP ? 'forwarded' : (VERDICTS[verdict] ?? 'error');
}

/** Decodes the record at `at`. Reads field by field: the agent drains hundreds of thousands of these a second. */
export function decodeFlowEvent(bytes: Uint8Array, at = 0): KernelFlowEvent & EventPosition {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, FLOW_EVENT.size);
  const byte = (offset: number): number => bytes[at + offset] ?? 0;
  const u16 = (offset: number): number => view.getUint16(offset, true);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  const u64 = (offset: number): bigint => view.getBigUint64(offset, true);
  const flags = byte(AT.flags);
  const family = byte(AT.family);
  return {
    event: KINDS[byte(AT.kind)] ?? 'new',
    ifindex: u32(AT.ifindex),
    endpointSlot: u16(AT.slot),
    direction: byte(AT.direction) === 1 ? 'egress' : 'ingress',
    source: address(bytes, at + AT.source, family),
    destination: address(bytes, at + AT.destination, family),
    sourcePort: u16(AT.source_port),
    destinationPort: u16(AT.destination_port),
    protocol: byte(AT.protocol),
    peerIdentity: u32(AT.peer_identity),
    verdict: verdictOf(byte(AT.verdict), byte(AT.protocol)),
    dropReason: byte(AT.drop_reason),
    ruleId: u32(AT.rule_id),
    ...((flags & FLOW_SHADOW) !== 0 && { shadowVerdict: VERDICTS[byte(AT.shadow_verdict)] ?? 'dropped', shadowRuleId: u32(AT.shadow_rule_id) }),
    isReply: (flags & FLOW_REPLY) !== 0,
    packets: u64(AT.packets),
    bytes: u64(AT.bytes),
    replyPackets: u64(AT.reply_packets),
    replyBytes: u64(AT.reply_bytes),
    firstSeenNs: u64(AT.first_seen_ns),
    lastSeenNs: u64(AT.time_ns),
    tcpFlags: byte(AT.tcp_flags),
    rttUs: u32(AT.rtt_us),
    datapathGeneration: u32(AT.generation),
    pid: u32(AT.pid),
    uid: u32(AT.uid),
    command: byte(AT.command) === 0 ? '' : bytesText(bytes.subarray(at + AT.command, at + AT.command + 16)),
    ...((flags & FLOW_TRANSLATED) !== 0 && {
      serviceAddress: address(bytes, at + AT.original_destination, family),
      servicePort: u16(AT.original_port),
    }),
    cpu: u16(AT.cpu),
    sequence: u32(AT.sequence),
  };
}
