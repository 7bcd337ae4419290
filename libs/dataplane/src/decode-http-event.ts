/** `struct http_event` → KernelFlowEvent. */

import { formatAddress } from './abi/address.ts';
import { HTTP_EVENT_HTTP2, HTTP_EVENT_TLS, HTTP_PATH_CUT, HTTP_TRANSLATED } from './abi/constants.ts';
import { HTTP_EVENT } from './abi/layouts.ts';
import { VERDICTS } from './decode-event.ts';
import type { KernelFlowEvent } from './kernel-event.ts';

/** By HTTP_METHOD_… of bpf/include/abi.h. */
const METHODS = ['', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'CONNECT', 'TRACE'] as const;
const TCP = 6;

/** The programs keep printable ASCII only. */
function ascii(bytes: Uint8Array, length: number): string {
  return String.fromCharCode(...bytes.subarray(0, length));
}

/** Decodes the record at `at`. Its counters are zero: packets and bytes are told by the connection's own events. */
export function decodeHttpEvent(bytes: Uint8Array, at = 0): KernelFlowEvent {
  const record = HTTP_EVENT.decode(bytes, at);
  const translated = (record.flags & HTTP_TRANSLATED) !== 0;
  return {
    event: 'l7',
    ifindex: record.ifindex,
    endpointSlot: record.slot,
    direction: record.direction === 1 ? 'egress' : 'ingress',
    source: formatAddress(record.source, record.family),
    destination: formatAddress(translated ? record.backend : record.destination, record.family),
    sourcePort: record.source_port,
    destinationPort: translated ? record.backend_port : record.destination_port,
    protocol: TCP,
    peerIdentity: record.peer_identity,
    verdict: VERDICTS[record.verdict] ?? 'error',
    dropReason: record.drop_reason,
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
    ...(translated && { serviceAddress: formatAddress(record.destination, record.family), servicePort: record.destination_port }),
    http: {
      kind: record.kind === HTTP_EVENT_TLS ? 'tls' : record.kind === HTTP_EVENT_HTTP2 ? 'http2' : 'exchange',
      method: METHODS[record.method] ?? '',
      path: ascii(record.path, record.path_length),
      pathCut: (record.flags & HTTP_PATH_CUT) !== 0,
      host: ascii(record.host, record.host_length),
      status: record.status,
      latencyUs: Number(record.latency_ns / 1000n),
    },
  };
}
