/** Prometheus text (exposition format 0.0.4) with Hubble's metric names, made of edges. */
import { latencyBoundUs, type FlowEdge } from './flow-edge.ts';

const PROTOCOLS: Readonly<Record<number, string>> = { 1: 'ICMPv4', 6: 'TCP', 17: 'UDP', 58: 'ICMPv6', 132: 'SCTP' };
const DROP_NAMES: Readonly<Record<string, string>> = { 'policy-denied': 'POLICY_DENIED', 'policy-denied-by-rule': 'POLICY_DENY', 'table-full': 'CT_MAP_INSERTION_FAILED', 'invalid-packet': 'INVALID_PACKET_DROPPED' };
/** Seconds, as Hubble's HTTP histogram has them. */
const LATENCY_BOUNDS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

type Labels = Readonly<Record<string, string>>;

/** Sums by label set. Over the cap, what is small comes together under `other`: the number of series is bounded. */
class Family {
  readonly #values = new Map<string, { labels: Labels; value: number }>();

  add(labels: Labels, value: number): void {
    if (value === 0) return;
    const key = JSON.stringify(labels);
    const known = this.#values.get(key);
    if (known === undefined) this.#values.set(key, { labels, value });
    else known.value += value;
  }

  capped(cap: number): { labels: Labels; value: number }[] {
    const sorted = [...this.#values.values()].toSorted((a, b) => b.value - a.value);
    const rest = sorted.slice(cap);
    const [example] = rest;
    if (example === undefined) return sorted;
    const other = Object.fromEntries(Object.keys(example.labels).map((name) => [name, 'other']));
    return [...sorted.slice(0, cap), { labels: other, value: rest.reduce((sum, { value }) => sum + value, 0) }];
  }
}

function labelText(labels: Labels): string {
  const escaped = (value: string): string => value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
  return Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`).join(',');
}

function counter(name: string, help: string, family: Family, cap: number): string {
  const lines = family.capped(cap).map(({ labels, value }) => `${name}{${labelText(labels)}} ${value}`);
  return [`# HELP ${name} ${help}`, `# TYPE ${name} counter`, ...lines].join('\n');
}

function partyName({ namespace, workload, labels }: FlowEdge['source']): string {
  return workload === undefined ? (labels[0] ?? 'unknown') : `${namespace ?? ''}/${workload}`;
}

/** The histogram's buckets do not meet ours: a count goes to the first bound that surely holds it. */
function durations(edges: readonly FlowEdge[], name: string): string {
  const counts = new Array<number>(LATENCY_BOUNDS_S.length + 1).fill(0);
  let sumSeconds = 0;
  for (const { http } of edges) {
    for (const [bucket, count] of (http?.latency ?? []).entries()) {
      const seconds = latencyBoundUs(bucket) / 1e6;
      const index = LATENCY_BOUNDS_S.findIndex((bound) => seconds <= bound);
      const place = index < 0 ? LATENCY_BOUNDS_S.length : index;
      counts[place] = (counts[place] ?? 0) + count;
      sumSeconds += seconds * count;
    }
  }
  let total = 0;
  const buckets = counts.map((count, index) => `${name}_bucket{le="${LATENCY_BOUNDS_S[index] ?? '+Inf'}"} ${(total += count)}`);
  return [`# HELP ${name} Quantifies the duration of HTTP requests in seconds`, `# TYPE ${name} histogram`, ...buckets, `${name}_sum ${sumSeconds}`, `${name}_count ${total}`].join('\n');
}

/**
 * The metrics of what the edges tell. Counters: feed it edges since a fixed instant, and let that instant move only to where
 * the sums are small again (a new day), which Prometheus takes for the restart of a counter.
 * @param cap series of one metric
 */
export function hubbleMetrics(edges: readonly FlowEdge[], cap = 200): string {
  const [flows, drops, ports, http, edgesByPair] = [new Family(), new Family(), new Family(), new Family(), new Family()];
  for (const edge of edges) {
    const protocol = PROTOCOLS[edge.protocol] ?? 'unknown';
    const type = edge.verdict === 'dropped' ? 'Drop' : edge.http === undefined ? 'Trace' : 'L7';
    flows.add({ protocol, subtype: '', type, verdict: edge.verdict.toUpperCase() }, edge.flows);
    ports.add({ port: String(edge.port), protocol }, edge.flows);
    if (edge.verdict === 'dropped') drops.add({ protocol, reason: DROP_NAMES[edge.dropReason ?? ''] ?? (edge.dropReason ?? 'UNKNOWN').toUpperCase().replaceAll('-', '_') }, edge.flows);
    if (edge.http !== undefined) {
      http.add({ destination: partyName(edge.destination), status: '5xx' }, edge.http.errors);
      http.add({ destination: partyName(edge.destination), status: 'below 500' }, edge.http.requests - edge.http.errors);
    }
    edgesByPair.add({ destination: partyName(edge.destination), source: partyName(edge.source), verdict: edge.verdict.toUpperCase() }, edge.flows);
  }
  const families = [
    counter('hubble_flows_processed_total', 'Total number of flows processed', flows, cap),
    counter('hubble_drop_total', 'Number of drops', drops, cap),
    counter('hubble_port_distribution_total', 'Numbers of packets distributed by destination port', ports, cap),
    counter('hubble_policy_verdicts_total', 'Total number of policy verdict events', edgesByPair, cap),
    counter('hubble_http_requests_total', 'Count of HTTP requests by status', http, cap),
    durations(edges, 'hubble_http_request_duration_seconds'),
  ];
  return `${families.join('\n')}\n`;
}
