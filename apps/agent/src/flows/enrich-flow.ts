import type { KernelFlowEvent } from '@palisade/dataplane';
import { DNS_ADDRESSES, dropReasonName, type FlowEnd, type FlowPeer, type FlowRecord } from '@palisade/flow';
import type { AskedNames } from './asked-names.ts';
import type { FlowNames } from './flow-names.ts';
import { PathTemplates } from './path-template.ts';

const DEFAULT_NETWORK = 'default';
const UDP = 17;
/** RFC 1035 §4.1.1: by policy. */
const RCODE_REFUSED = 5;

/** Microseconds to add to CLOCK_MONOTONIC for wall time. Node's high-resolution clock is that clock. */
export function monotonicToWallUs(): number {
  return Date.now() * 1000 - Number(process.hrtime.bigint() / 1000n);
}

function wallUs(monotonicNs: bigint, offsetUs: number): number {
  return Math.max(0, Number(monotonicNs / 1000n) + offsetUs);
}

/** Ends are dictionary entries: the same peer and port give the same object while the names live. */
class Ends {
  readonly #byPeer = new WeakMap<FlowPeer, Map<number, FlowEnd>>();

  get(peer: FlowPeer, port: number): FlowEnd {
    let ports = this.#byPeer.get(peer);
    if (ports === undefined) this.#byPeer.set(peer, (ports = new Map()));
    let end = ports.get(port);
    if (end === undefined) {
      // Ephemeral ports do not repeat: past a few they are not worth keeping.
      end = { ...peer, port };
      if (ports.size < 64) ports.set(port, end);
    }
    return end;
  }
}

const ends = new Ends();
const paths = new PathTemplates();

/**
 * Connections are seen at both ends; their counters count once, at the source (flows.md). The destination still reports
 * that a connection began, since the deciding rule may be its own, and everything that is not plain forwarding.
 */
export function isSecondSighting(event: KernelFlowEvent, names: FlowNames): boolean {
  if (event.direction !== 'ingress' || event.verdict !== 'forwarded') return false;
  if (event.event !== 'delta' && event.event !== 'closed' && event.event !== 'l7') return false;
  return names.isObserved(names.endpoint(event.endpointSlot)?.network ?? DEFAULT_NETWORK, event.source);
}

/** HTTP as it is stored: the path as a template, nothing of the query string, the host or the headers. */
function httpPart(event: KernelFlowEvent, destination: FlowPeer): Pick<FlowRecord, 'http'> {
  const { http } = event;
  if (http === undefined || http.kind !== 'exchange') return {};
  const path = paths.get(destination.workload ?? destination.address, http.path, http.pathCut);
  return { http: { method: http.method, path, ...(http.status === 0 ? {} : { status: http.status, latencyUs: http.latencyUs }) } };
}

/** Of an answer, or of the question that a denied datagram carried. */
function dnsPart(event: KernelFlowEvent, asked: AskedNames): Pick<FlowRecord, 'dns'> {
  const { dns } = event;
  if (dns !== undefined) {
    const { name, addresses, rcode } = dns.message;
    // Resolvers turn the order about with every answer; the same answer is one dictionary entry.
    const told = [...new Set(addresses.map(({ address }) => address))].toSorted().slice(0, DNS_ADDRESSES);
    return { dns: { query: name, addresses: told, rcode, ...(dns.latencyUs === 0 ? {} : { latencyUs: dns.latencyUs }) } };
  }
  if (event.event !== 'dropped' || event.protocol !== UDP || event.direction !== 'egress') return {};
  const query = asked.refused(event.endpointSlot, event.source, event.sourcePort);
  return query === undefined ? {} : { dns: { query, addresses: [], rcode: RCODE_REFUSED } };
}

/** Gives a kernel event its names, policies and wall time. */
export function enrichFlow(event: KernelFlowEvent, names: FlowNames, offsetUs: number, asked: AskedNames): FlowRecord {
  const endpoint = names.endpoint(event.endpointSlot);
  const network = endpoint?.network ?? DEFAULT_NETWORK;
  const egress = event.direction === 'egress';
  const local = names.local(event.endpointSlot, egress ? event.source : event.destination);
  const farAddress = egress ? event.destination : event.source;
  const far = names.far(network, farAddress, event.peerIdentity, asked.of(event.endpointSlot, farAddress, event.lastSeenNs));
  const dropReason = dropReasonName(event.dropReason);
  const { knowledge } = names;
  return {
    event: event.event,
    source: ends.get(egress ? local : far, event.sourcePort),
    destination: ends.get(egress ? far : local, event.destinationPort),
    protocol: event.protocol,
    direction: event.direction,
    node: knowledge.nodeName,
    ...(endpoint?.attach.kind === 'interface' ? { interface: endpoint.attach.ifname } : {}),
    verdict: event.verdict,
    ...(dropReason === undefined ? {} : { dropReason }),
    policies: names.policies(event.ruleId),
    ...(event.shadowVerdict === undefined ? {} : { shadowVerdict: event.shadowVerdict }),
    isReply: event.isReply,
    packets: Number(event.packets),
    bytes: Number(event.bytes),
    replyPackets: Number(event.replyPackets),
    replyBytes: Number(event.replyBytes),
    firstSeenUs: wallUs(event.firstSeenNs, offsetUs),
    lastSeenUs: wallUs(event.lastSeenNs, offsetUs),
    tcpFlags: event.tcpFlags,
    ...httpPart(event, egress ? far : local),
    ...dnsPart(event, asked),
    ...(event.rttUs === 0 ? {} : { rttUs: event.rttUs }),
    ...(event.command === '' ? {} : { process: { binary: event.command, pid: event.pid, uid: event.uid, ...event.process } }),
    generation: knowledge.generation,
    policyRevision: knowledge.resolved?.policyRevision ?? 0,
    identityRevision: knowledge.resolved?.identityRevision ?? knowledge.facts?.identityRevision ?? 0,
    origin: 'ebpf',
    weight: 1,
  };
}
