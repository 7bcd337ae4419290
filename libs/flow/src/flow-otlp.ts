/** Flows as OTLP logs and metric families as OTLP metrics, in the JSON encoding of OTLP/HTTP (opentelemetry-proto 1.x, "JSON Protobuf Encoding"). Pure. */
import type { FlowEnd, FlowRecord } from './flow-record.ts';
import type { MetricFamily, MetricLabels } from './metric-family.ts';

interface OtlpValue {
  readonly stringValue?: string;
  /** 64-bit numbers are decimal text. */
  readonly intValue?: string;
  readonly boolValue?: boolean;
  readonly arrayValue?: { readonly values: readonly OtlpValue[] };
}
interface OtlpAttribute {
  readonly key: string;
  readonly value: OtlpValue;
}
type Plain = string | number | boolean | readonly string[] | undefined;

const SCOPE = { name: 'palisade.flows', version: '1' };
/** severityNumber of the logs data model: 9 INFO, 13 WARN. */
const SEVERITY = { info: { severityNumber: 9, severityText: 'INFO' }, warn: { severityNumber: 13, severityText: 'WARN' } } as const;
const TRANSPORTS: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6', 132: 'sctp' };
/** aggregationTemporality: cumulative. */
const CUMULATIVE = 2;

function valueOf(value: Exclude<Plain, undefined>): OtlpValue {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'number') return { intValue: String(value) };
  if (typeof value === 'boolean') return { boolValue: value };
  return { arrayValue: { values: value.map((one) => ({ stringValue: one })) } };
}

function attributes(values: Readonly<Record<string, Plain>>): OtlpAttribute[] {
  return Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [{ key, value: valueOf(value) }]));
}

function nanoseconds(us: number): string {
  return `${us}000`;
}

/** Names of the semantic conventions where they have one (`source.*`, `destination.*`, `network.*`), else our own. */
function endAttributes(name: 'source' | 'destination', { address, port, identity, labels, namespace, workload, cluster, dnsNames }: FlowEnd): Record<string, Plain> {
  return {
    [`${name}.address`]: address, [`${name}.port`]: port, [`palisade.${name}.identity`]: identity, [`palisade.${name}.labels`]: labels, [`palisade.${name}.namespace`]: namespace,
    [`palisade.${name}.workload`]: workload, [`palisade.${name}.cluster`]: cluster, [`palisade.${name}.dns_names`]: dnsNames,
  };
}

function line(flow: FlowRecord): string {
  const name = ({ namespace, workload, address }: FlowEnd): string => (workload === undefined ? address : `${namespace ?? ''}/${workload}`);
  return `${flow.verdict.toUpperCase()} ${name(flow.source)} -> ${name(flow.destination)}:${flow.destination.port} ${TRANSPORTS[flow.protocol] ?? flow.protocol}${flow.dropReason === undefined ? '' : ` (${flow.dropReason})`}`;
}

type NamedFlow = FlowRecord & { readonly id: string; readonly clusterId: string };

function logRecord(flow: NamedFlow, nowUs: number) {
  const policies = flow.policies.map((policy) => `${policy.kind}/${policy.namespace ?? ''}/${policy.name}@${policy.revision}#${policy.index ?? 'default-deny'}`);
  return {
    timeUnixNano: nanoseconds(flow.lastSeenUs),
    observedTimeUnixNano: nanoseconds(nowUs),
    ...(flow.verdict === 'dropped' || flow.verdict === 'error' ? SEVERITY.warn : SEVERITY.info),
    eventName: 'palisade.flow',
    body: { stringValue: line(flow) },
    attributes: attributes({
      // Delivery is at least once: receivers that mind tell repeats by this.
      'palisade.flow.id': flow.id, 'palisade.cluster.id': flow.clusterId, 'palisade.event': flow.event, 'palisade.verdict': flow.verdict, 'palisade.drop_reason': flow.dropReason,
      'palisade.shadow_verdict': flow.shadowVerdict, 'palisade.policies': policies.length === 0 ? undefined : policies, 'palisade.is_reply': flow.isReply, 'palisade.weight': flow.weight,
      'network.transport': TRANSPORTS[flow.protocol] ?? String(flow.protocol), 'network.type': flow.source.address.includes(':') ? 'ipv6' : 'ipv4', 'network.io.direction': flow.direction === 'ingress' ? 'receive' : 'transmit',
      ...endAttributes('source', flow.source), ...endAttributes('destination', flow.destination),
      'palisade.packets': flow.packets, 'palisade.bytes': flow.bytes, 'palisade.reply_packets': flow.replyPackets, 'palisade.reply_bytes': flow.replyBytes, 'palisade.first_seen_us': flow.firstSeenUs,
      'host.name': flow.node, 'network.interface.name': flow.interface,
      'http.request.method': flow.http?.method, 'url.path': flow.http?.path, 'http.response.status_code': flow.http?.status, 'palisade.http.latency_us': flow.http?.latencyUs,
      'dns.question.name': flow.dns?.query, 'dns.answers': flow.dns?.addresses, 'palisade.dns.rcode': flow.dns?.rcode, 'palisade.dns.latency_us': flow.dns?.latencyUs,
      'process.executable.path': flow.process?.binary, 'process.pid': flow.process?.pid, 'process.command_args': flow.process?.arguments === undefined ? undefined : [flow.process.arguments],
    }),
  };
}

function resource(tenantId: string) {
  return { attributes: attributes({ 'service.name': 'palisade', 'palisade.tenant.id': tenantId }) };
}

/** An ExportLogsServiceRequest: one record a flow. */
export function otlpLogs(tenantId: string, flows: readonly NamedFlow[], nowUs: number) {
  return { resourceLogs: [{ resource: resource(tenantId), scopeLogs: [{ scope: SCOPE, logRecords: flows.map((flow) => logRecord(flow, nowUs)) }] }] };
}

function points(family: MetricFamily, startUs: number, nowUs: number) {
  const times = { startTimeUnixNano: nanoseconds(startUs), timeUnixNano: nanoseconds(nowUs) };
  const own = (labels: MetricLabels) => ({ attributes: attributes(labels), ...times });
  if (family.kind !== 'histogram') return { dataPoints: family.series.map(({ labels, value }) => ({ ...own(labels), asDouble: value })) };
  return {
    dataPoints: family.series.map(({ labels, counts, sum }) => ({
      ...own(labels), count: String(counts.reduce((all, count) => all + count, 0)), sum, bucketCounts: counts.map(String), explicitBounds: family.bounds,
    })),
  };
}

/** An ExportMetricsServiceRequest; counters are cumulative since `startUs`. */
export function otlpMetrics(tenantId: string, families: readonly MetricFamily[], startUs: number, nowUs: number) {
  const metrics = families.filter(({ series }) => series.length > 0).map((family) => ({
    name: family.name,
    description: family.help,
    ...(family.kind === 'counter' ? { sum: { ...points(family, startUs, nowUs), aggregationTemporality: CUMULATIVE, isMonotonic: true } } : {}),
    ...(family.kind === 'gauge' ? { gauge: points(family, startUs, nowUs) } : {}),
    ...(family.kind === 'histogram' ? { histogram: { ...points(family, startUs, nowUs), aggregationTemporality: CUMULATIVE } } : {}),
  }));
  return { resourceMetrics: [{ resource: resource(tenantId), scopeMetrics: [{ scope: SCOPE, metrics }] }] };
}
