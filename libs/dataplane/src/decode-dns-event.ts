/** `struct dns_event` → KernelFlowEvent. */

import { formatAddress } from './abi/address.ts';
import { DNS_EVENT_REFUSED, DNS_OVER_TCP, DNS_TRANSLATED, VERDICT_NUMBER } from './abi/constants.ts';
import { DNS_EVENT } from './abi/layouts.ts';
import { readDnsMessage } from './dns-message.ts';
import type { KernelFlowEvent } from './kernel-event.ts';

const [TCP, UDP] = [6, 17];

/**
 * Decodes the record at `at`; undefined where its message has no question that can be read. Its counters are zero: packets
 * and bytes are told by the connection's own events.
 */
export function decodeDnsEvent(bytes: Uint8Array, at = 0): KernelFlowEvent | undefined {
  const record = DNS_EVENT.decode(bytes, at);
  const message = readDnsMessage(record.message.subarray(0, record.kept));
  if (message === undefined) return undefined;
  const translated = (record.flags & DNS_TRANSLATED) !== 0;
  const refused = record.kind === DNS_EVENT_REFUSED;
  const resolver = formatAddress(record.resolver, record.family);
  return {
    event: 'dns',
    ifindex: record.ifindex,
    endpointSlot: record.slot,
    direction: 'egress',
    source: formatAddress(record.client, record.family),
    destination: translated ? formatAddress(record.backend, record.family) : resolver,
    sourcePort: record.client_port,
    destinationPort: translated ? record.backend_port : record.resolver_port,
    protocol: (record.flags & DNS_OVER_TCP) !== 0 ? TCP : UDP,
    peerIdentity: record.peer_identity,
    verdict: refused ? 'dropped' : record.verdict === VERDICT_NUMBER.audit ? 'audit' : 'forwarded',
    dropReason: 0,
    ruleId: record.rule_id,
    isReply: false,
    packets: 0n,
    bytes: 0n,
    replyPackets: 0n,
    replyBytes: 0n,
    firstSeenNs: record.time_ns - record.latency_ns,
    lastSeenNs: record.time_ns,
    tcpFlags: 0,
    rttUs: 0,
    datapathGeneration: record.generation,
    pid: 0,
    uid: 0,
    command: '',
    ...(translated && { serviceAddress: resolver, servicePort: record.resolver_port }),
    dns: { kind: refused ? 'refused' : 'answer', message, latencyUs: Number(record.latency_ns / 1000n) },
  };
}
