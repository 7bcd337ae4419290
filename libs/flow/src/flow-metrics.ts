/** Hubble's metrics, by name and labels, of what edges and counts tell. Pure. */
import type { FlowLosses } from './flow-account.ts';
import { COUNTED_LATENCIES_US, type CountedEnd, type FlowCount } from './flow-count.ts';
import type { FlowEdge } from './flow-edge.ts';
import { CounterTable, HistogramTable, prometheusText, type MetricFamily } from './metric-family.ts';

const PROTOCOLS: Readonly<Record<number, string>> = { 1: 'ICMPv4', 6: 'TCP', 17: 'UDP', 58: 'ICMPv6', 132: 'SCTP' };
const WITHOUT_PORTS = [1, 58];
const DROP_NAMES: Readonly<Record<string, string>> = {
  'policy-denied': 'POLICY_DENIED', 'policy-denied-by-rule': 'POLICY_DENY', 'table-full': 'CT_MAP_INSERTION_FAILED', 'invalid-packet': 'INVALID_PACKET_DROPPED',
  'fragment-unknown': 'FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND', 'unsupported-protocol': 'UNKNOWN_L4_PROTOCOL', 'l7-denied': 'POLICY_DENIED', 'l7-unparsed': 'POLICY_DENIED',
  'invalid-connection-state': 'UNKNOWN_CONNECTION_TRACKING_STATE',
};
/** Names of response codes as Hubble writes them (IANA DNS RCODEs). */
const RCODES: Readonly<Record<number, string>> = {
  0: 'No Error', 1: 'Format Error', 2: 'Server Failure', 3: 'Non-Existent Domain', 4: 'Not Implemented', 5: 'Query Refused', 6: 'Name Exists when it should not',
  7: 'RR Set Exists when it should not', 8: 'RR Set that should exist does not', 9: 'Server Not Authoritative for zone', 10: 'Name not contained in zone',
};
/** IANA "ICMP Type Numbers" and "ICMPv6 type". */
const ICMP_TYPES: Readonly<Record<number, string>> = {
  0: 'EchoReply', 3: 'DestinationUnreachable', 4: 'SourceQuench', 5: 'Redirect', 8: 'EchoRequest', 9: 'RouterAdvertisement', 10: 'RouterSolicitation', 11: 'TimeExceeded',
  12: 'ParameterProblem', 13: 'TimestampRequest', 14: 'TimestampReply',
};
const ICMPV6_TYPES: Readonly<Record<number, string>> = {
  1: 'DestinationUnreachable', 2: 'PacketTooBig', 3: 'TimeExceeded', 4: 'ParameterProblem', 128: 'EchoRequest', 129: 'EchoReply', 133: 'RouterSolicitation',
  134: 'RouterAdvertisement', 135: 'NeighborSolicitation', 136: 'NeighborAdvertisement',
};
const [FIN, SYN, RST, ACK] = [1, 2, 4, 16];

/** What there is to tell of a window. */
export interface FlowMetricSource {
  readonly edges: readonly FlowEdge[];
  /** Flows of edges that are not told apart. */
  readonly beyondFlows: number;
  readonly counts: readonly FlowCount[];
  readonly losses: FlowLosses;
}

function partyName({ namespace, workload, labels }: FlowEdge['source']): string {
  return workload === undefined ? (labels[0] ?? 'unknown') : `${namespace ?? ''}/${workload}`;
}

function endName({ namespace, workload }: CountedEnd): string {
  return workload === undefined ? (namespace ?? 'unknown') : `${namespace ?? ''}/${workload}`;
}

function isWorld({ labels }: FlowEdge['destination']): boolean {
  return labels.includes('reserved:world');
}

/** All series have all labels of their metric, in alphabetical order. */
class HubbleTables {
  readonly flows = new CounterTable();
  readonly drops = new CounterTable();
  readonly ports = new CounterTable();
  readonly verdicts = new CounterTable();
  readonly toWorld = new CounterTable();
  readonly httpRequests = new CounterTable();
  readonly httpResponses = new CounterTable();
  readonly httpDuration = new HistogramTable(COUNTED_LATENCIES_US.map((us) => us / 1e6));
  readonly dnsQueries = new CounterTable();
  readonly dnsResponses = new CounterTable();
  readonly dnsTypes = new CounterTable();
  readonly tcpFlags = new CounterTable();
  readonly icmp = new CounterTable();
  readonly lost = new CounterTable();

  addEdge(edge: FlowEdge): void {
    const protocol = PROTOCOLS[edge.protocol] ?? 'unknown';
    const verdict = edge.verdict.toUpperCase();
    const ends = { destination: partyName(edge.destination), source: partyName(edge.source) };
    this.flows.add({ protocol, subtype: '', type: edge.verdict === 'dropped' ? 'Drop' : 'Trace', verdict }, edge.flows);
    if (edge.verdict === 'forwarded' || edge.verdict === 'redirected') this.ports.add({ port: WITHOUT_PORTS.includes(edge.protocol) ? '0' : String(edge.port), protocol }, edge.flows);
    if (edge.verdict === 'dropped') this.drops.add({ protocol, reason: DROP_NAMES[edge.dropReason ?? ''] ?? 'DROP_REASON_UNKNOWN' }, edge.flows);
    // As Hubble by default: of drops, only those by a policy.
    if (isWorld(edge.destination) && (edge.verdict !== 'dropped' || edge.dropReason === 'policy-denied')) this.toWorld.add({ protocol, verdict }, edge.flows);
    const [policy] = edge.policies;
    const match = policy === undefined ? 'unknown' : policy.index === undefined ? 'none' : 'all';
    this.verdicts.add({ action: edge.verdict, destination: ends.destination, direction: policy?.direction ?? 'unknown', match, source: ends.source }, edge.flows);
  }

  addCount(count: FlowCount): void {
    const ends = { destination: endName(count.destination), source: endName(count.source) };
    const family = count.ipv6 ? 'IPv6' : 'IPv4';
    const reporter = count.direction === 'ingress' ? 'server' : 'client';
    if (count.http !== undefined) {
      const { method, status, latency } = count.http;
      this.httpRequests.add({ destination: ends.destination, method, protocol: 'HTTP/1.1', reporter, source: ends.source, status: status === undefined ? '' : String(status) }, count.flows);
      if (status !== undefined) this.httpResponses.add({ destination: ends.destination, method, reporter, source: ends.source, status: String(status) }, count.flows);
      if (latency !== undefined) this.httpDuration.add({ destination: ends.destination, method, reporter, source: ends.source }, latency, count.flows, count.latencyUs / 1e6);
      this.flows.add({ protocol: 'HTTP', subtype: 'HTTP', type: 'L7', verdict: count.verdict.toUpperCase() }, count.flows);
    }
    if (count.dns !== undefined) this.#addDns(count, count.dns, ends);
    if (count.tcpFlags !== 0 && count.verdict === 'forwarded') {
      if ((count.tcpFlags & FIN) !== 0 && count.event === 'closed') this.tcpFlags.add({ family, flag: 'FIN' }, count.flows);
      if ((count.tcpFlags & SYN) !== 0 && count.event === 'new') this.tcpFlags.add({ family, flag: (count.tcpFlags & ACK) === 0 ? 'SYN' : 'SYN-ACK' }, count.flows);
      if ((count.tcpFlags & RST) !== 0 && count.event === 'closed') this.tcpFlags.add({ family, flag: 'RST' }, count.flows);
    }
    if (count.icmpType !== undefined && count.event !== 'closed') {
      const names = count.protocol === 58 ? ICMPV6_TYPES : ICMP_TYPES;
      this.icmp.add({ family, type: names[count.icmpType] ?? String(count.icmpType) }, count.flows);
    }
  }

  /** A flow of ours has the question and its answer. */
  #addDns(count: FlowCount, dns: NonNullable<FlowCount['dns']>, ends: { destination: string; source: string }): void {
    const types = [...(dns.ipv4Answers > 0 ? ['A'] : []), ...(dns.ipv6Answers > 0 ? ['AAAA'] : [])];
    const qtypes = types.join();
    const denied = count.verdict === 'dropped';
    const labels = (rcode: string, ips: number) => ({ destination: ends.destination, ips_returned: String(ips), qtypes, rcode, source: ends.source });
    this.flows.add({ protocol: 'DNS', subtype: 'DNS', type: 'L7', verdict: count.verdict.toUpperCase() }, count.flows);
    this.dnsQueries.add(labels(denied ? 'Policy denied' : '', 0), count.flows);
    if (denied) return;
    this.dnsResponses.add(labels(RCODES[dns.rcode] ?? String(dns.rcode), dns.ipv4Answers + dns.ipv6Answers), count.flows);
    for (const type of types) this.dnsTypes.add({ destination: ends.destination, qtypes, source: ends.source, type }, count.flows);
  }

  families(cap: number): MetricFamily[] {
    return [
      this.flows.family('hubble_flows_processed_total', 'Total number of flows processed', cap),
      this.drops.family('hubble_drop_total', 'Number of drops', cap),
      this.ports.family('hubble_port_distribution_total', 'Numbers of packets distributed by destination port', cap),
      this.verdicts.family('hubble_policy_verdicts_total', 'Total number of policy verdict events', cap),
      this.toWorld.family('hubble_flows_to_world_total', 'Total number of flows to reserved:world', cap),
      this.tcpFlags.family('hubble_tcp_flags_total', 'TCP flag occurrences', cap),
      this.icmp.family('hubble_icmp_total', 'Number of ICMP messages', cap),
      this.dnsQueries.family('hubble_dns_queries_total', 'Number of DNS queries observed', cap),
      this.dnsResponses.family('hubble_dns_responses_total', 'Number of DNS responses observed', cap),
      this.dnsTypes.family('hubble_dns_response_types_total', 'Number of DNS responses observed by type', cap),
      this.httpRequests.family('hubble_http_requests_total', 'Count of HTTP requests', cap),
      this.httpResponses.family('hubble_http_responses_total', 'Count of HTTP responses', cap),
      this.httpDuration.family('hubble_http_request_duration_seconds', 'Quantiles of HTTP request duration in seconds', cap),
      this.lost.family('hubble_lost_events_total', 'Number of lost events', cap),
    ];
  }
}

/** Without what has not landed: it may yet, and a counter never goes back. */
function addLosses({ lost }: HubbleTables, { 'ring-full': ring = 0, 'not-landed': _mayLand, ...others }: FlowLosses): void {
  lost.add({ source: 'perf_event_ring_buffer' }, ring);
  lost.add({ source: 'observer_events_queue' }, Object.values(others).reduce((sum, count) => sum + count, 0));
}

/**
 * The metrics of a source. Counters: feed it what happened since a fixed instant, and let that instant move only to where the
 * sums are small again (a new day), which Prometheus takes for the restart of a counter. The last family says how many series
 * of each were folded into `other`.
 * @param cap series of one metric
 */
export function hubbleFamilies(source: FlowMetricSource, cap = 500): MetricFamily[] {
  const tables = new HubbleTables();
  for (const edge of source.edges) tables.addEdge(edge);
  for (const count of source.counts) tables.addCount(count);
  tables.flows.add({ protocol: 'other', subtype: 'other', type: 'other', verdict: 'other' }, source.beyondFlows);
  addLosses(tables, source.losses);
  const families = tables.families(cap);
  const folded = families.map(({ name, folded: value }) => ({ labels: { metric: name }, value }));
  return [...families, { name: 'palisade_folded_series', help: 'Series that came together under other because a metric had too many', kind: 'gauge', series: folded, folded: 0 }];
}

/** The same as Prometheus text. */
export function hubbleMetrics(source: FlowMetricSource, cap?: number): string {
  return prometheusText(hubbleFamilies(source, cap));
}
