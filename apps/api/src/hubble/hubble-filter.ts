import { isMessage, type Message } from '@bufbuild/protobuf';
import type { StoredFlow } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import {
  matchesFilter, matchesPattern, parseLabelSelector, parsePrefix, VERDICT,
  type DropReason as FlowDropReason, type FlowEndFilter, type FlowFilter as Filter, type FlowLayer7, type FlowSelection, type Verdict as FlowVerdict,
} from '@palisade/flow';
import { RE2JS } from 're2js';
import { CEL_STEPS, celTest, type CelBudget } from './hubble-cel.ts';
import { IPVersion, TrafficDirection, type EventTypeFilter, type FlowFilter, type Workload } from './generated/flow/flow_pb.ts';
import { EVENT_TYPE, eventTypeOf, HUBBLE_DROP_REASON, nodeName, tcpFlagMask } from './hubble-flow.ts';

type Predicate = (flow: StoredFlow) => boolean;

/** A filter in two parts: what the store can decide, and what is decided on the flow at hand. A flow must pass both. */
interface SplitFilter {
  readonly stored: Filter;
  readonly rest: readonly Predicate[];
}

const MAX_FILTERS = 100;
const MAX_VALUES = 200;

/** Allow and deny lists of a request. */
export class HubbleSelection {
  readonly #allow: readonly SplitFilter[];
  readonly #deny: readonly SplitFilter[];

  /** @throws DomainError `request.invalid` on a broken CIDR, selector, port or expression, too many of them, or a CEL expression that may take too long */
  constructor(whitelist: readonly FlowFilter[], blacklist: readonly FlowFilter[]) {
    if (whitelist.length + blacklist.length > MAX_FILTERS) throw invalid(`At most ${MAX_FILTERS} filters are allowed.`);
    const budget: CelBudget = { left: CEL_STEPS };
    this.#allow = whitelist.map((filter) => split(filter, budget));
    this.#deny = blacklist.map((filter) => split(filter, budget));
  }

  /** For the store: everything that is wanted, and perhaps more. */
  get stored(): FlowSelection {
    return {
      allow: this.#allow.map(({ stored }) => stored),
      // What the store cannot decide in full must not be left out by it.
      deny: this.#deny.filter(({ rest }) => rest.length === 0).map(({ stored }) => stored),
    };
  }

  matches(flow: StoredFlow): boolean {
    const passes = ({ stored, rest }: SplitFilter): boolean => matchesFilter(stored, flow) && rest.every((test) => test(flow));
    return (this.#allow.length === 0 || this.#allow.some(passes)) && !this.#deny.some(passes);
  }
}

function invalid(message: string): DomainError {
  return new DomainError('request.invalid', message);
}

/** A field that is set: its values are alternatives. */
function given<Value, Result>(values: readonly Value[], make: (values: readonly Value[]) => Result): Result | undefined {
  if (values.length > MAX_VALUES) throw invalid(`At most ${MAX_VALUES} values are allowed in one filter field.`);
  return values.length === 0 ? undefined : make(values);
}

/** Names are stored in lower case, without the root's dot. */
function dnsPattern(text: string): string {
  const pattern = text.trim().replace(/\.$/, '').toLowerCase();
  if (!/^[-0-9a-z_.*]+$/.test(pattern)) throw invalid(`'${text.slice(0, 80)}' is no DNS name: letters, digits, "-", "_", "." and "*" are allowed.`);
  return pattern;
}

function podPattern(text: string): string {
  if (text === '') throw invalid('A pod filter is [namespace/]name-prefix; it must not be empty.');
  return text;
}

function clusterName(text: string): string {
  if (text === '') throw invalid('A cluster filter must name a cluster.');
  return text;
}

function statusPattern(text: string): string {
  if (!/^([1-5]\d{2}|[1-5]\d?\+)$/.test(text)) throw invalid(`'${text.slice(0, 20)}' is no HTTP status: use 404, 40+ or 5+.`);
  return text;
}

function portRange(text: string): readonly [number, number] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || first > last || last > 65_535) throw invalid(`'${text.slice(0, 20)}' is no port and no range of ports.`);
  return [first, last];
}

function present<Shape extends object>(fields: Shape): { [Key in keyof Shape]?: Exclude<Shape[Key], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as { [Key in keyof Shape]?: Exclude<Shape[Key], undefined> };
}

interface EndFields {
  readonly ip: readonly string[];
  readonly pod: readonly string[];
  readonly fqdn: readonly string[];
  readonly label: readonly string[];
  readonly identity: readonly number[];
  readonly cluster: readonly string[];
  readonly workload: readonly Workload[];
  readonly port: readonly string[];
}

/** Of a workload's pods; undefined where the store cannot tell. */
function workloadPatterns(list: readonly Workload[]): readonly string[] | undefined {
  return list.some(({ name }) => name === '' || name.includes('*')) ? undefined : list.flatMap(({ name }) => [name, `${name}-*`]);
}

const LISTED_PORTS = 500;

/** Undefined for ranges too long to list. */
function listedPorts(list: readonly string[]): readonly number[] | undefined {
  const ranges = list.map(portRange);
  if (ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0) > LISTED_PORTS) return undefined;
  return ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, index) => first + index));
}

function endFilter(fields: EndFields): FlowEndFilter | undefined {
  const filter = present({
    prefixes: given(fields.ip, (list) => list.map((text) => parsePrefix(text))),
    pods: given(fields.pod, (list) => list.map(podPattern)),
    dnsNames: given(fields.fqdn, (list) => list.map(dnsPattern)),
    labels: given(fields.label, (list) => list.map((text) => parseLabelSelector(text))),
    identities: given(fields.identity, (list) => list),
    clusters: given(fields.cluster, (list) => list.map(clusterName)),
    workloads: given(fields.workload, workloadPatterns),
    ports: given(fields.port, listedPorts),
  });
  return Object.keys(filter).length === 0 ? undefined : filter;
}

const VERDICTS = new Map<number, FlowVerdict>((Object.keys(VERDICT) as FlowVerdict[]).map((name) => [VERDICT[name], name]));
const DROP_REASONS = Object.keys(HUBBLE_DROP_REASON) as FlowDropReason[];

function storedPart(filter: FlowFilter): Filter {
  return present({
    source: endFilter({
      ip: filter.sourceIp, pod: filter.sourcePod, fqdn: filter.sourceFqdn, label: filter.sourceLabel, identity: filter.sourceIdentity,
      cluster: filter.sourceClusterName, workload: filter.sourceWorkload, port: filter.sourcePort,
    }),
    destination: endFilter({
      ip: filter.destinationIp, pod: filter.destinationPod, fqdn: filter.destinationFqdn, label: filter.destinationLabel, identity: filter.destinationIdentity,
      cluster: filter.destinationClusterName, workload: filter.destinationWorkload, port: filter.destinationPort,
    }),
    verdicts: given(filter.verdict, (list) => list.flatMap((code) => VERDICTS.get(code) ?? [])),
    directions: given(filter.trafficDirection, (list) => list.flatMap((code) => (code === TrafficDirection.INGRESS ? ['ingress' as const] : code === TrafficDirection.EGRESS ? ['egress' as const] : []))),
    dropReasons: given(filter.dropReasonDesc, (list) => DROP_REASONS.filter((name) => list.includes(HUBBLE_DROP_REASON[name]))),
    reply: filter.reply.length === 1 ? filter.reply[0] : undefined,
    httpStatuses: given(filter.httpStatusCode, (list) => list.map(statusPattern)),
    protocols: given(filter.protocol, (list) => storedProtocols(list)),
    layer7: storedLayers(filter),
    tcpFlags: given(filter.tcpFlags, (list) => list.map(tcpFlagMask)),
    observers: given(filter.nodeName, storedNodes),
    httpMethods: given(filter.httpMethod, (list) => list.map((method) => method.toUpperCase())),
  });
}

/** Hubble's expressions are RE2 and match anywhere; this engine is linear in time as well. */
function expressions(list: readonly string[]): (text: string) => boolean {
  const compiled = list.map((text) => {
    if (text.length > 1024) throw invalid('An expression has at most 1,024 characters.');
    try {
      return RE2JS.compile(text);
    } catch {
      throw invalid(`'${text.slice(0, 80)}' is no RE2 expression.`);
    }
  });
  return (text) => compiled.some((expression) => expression.matcher(text).find());
}

const LAYER_4: Readonly<Record<string, readonly number[]>> = { tcp: [6], udp: [17], sctp: [132], icmp: [1, 58], icmpv4: [1], icmpv6: [58], vrrp: [112], igmp: [2] };
/** Layer 7 that Hubble knows; of Kafka, no flow of ours tells. */
const LAYER_7: readonly string[] = ['dns', 'http', 'kafka'];

/** Lower-case names. @throws DomainError `request.invalid` for one that Hubble does not know either */
function protocolNames(list: readonly string[]): readonly string[] {
  return list.map((text) => {
    const name = text.toLowerCase();
    if (LAYER_4[name] === undefined && !LAYER_7.includes(name)) throw invalid(`'${text.slice(0, 20)}' is no protocol: use ${[...Object.keys(LAYER_4), ...LAYER_7].join(', ')}.`);
    return name;
  });
}

function protocolTest(list: readonly string[]): Predicate {
  const names = protocolNames(list);
  return (flow) =>
    names.some((name) => (LAYER_4[name]?.includes(flow.protocol) ?? false) || (name === 'http' && flow.http !== undefined) || (name === 'dns' && flow.dns !== undefined));
}

/** Undefined where an alternative is about layer 7. */
function storedProtocols(list: readonly string[]): readonly number[] | undefined {
  const names = protocolNames(list);
  return names.every((name) => LAYER_4[name] !== undefined) ? names.flatMap((name) => LAYER_4[name] ?? []) : undefined;
}

/** Which layer 7 a flow must have at least to pass; undefined where it need not have any. */
function storedLayers(filter: FlowFilter): readonly FlowLayer7[] | undefined {
  if (filter.httpPath.length + filter.httpUrl.length > 0) return ['http'];
  if (filter.dnsQuery.length > 0) return ['dns'];
  if (filter.protocol.length > 0 && filter.protocol.every((name) => LAYER_7.includes(name.toLowerCase()))) {
    return filter.protocol.flatMap((name) => (name.toLowerCase() === 'http' ? ['http' as const] : name.toLowerCase() === 'dns' ? ['dns' as const] : []));
  }
  return filter.eventType.length > 0 && filter.eventType.every(({ type }) => type === EVENT_TYPE.accessLog) ? ['http', 'dns'] : undefined;
}

/** The node's part of the patterns; undefined where one leaves the node open. */
function storedNodes(list: readonly string[]): readonly string[] | undefined {
  const nodes = list.map((text) => text.slice(text.indexOf('/') + 1));
  return nodes.includes('') ? undefined : nodes;
}

/** `node`, `clu*ter/node`, or `cluster/` for every node of it. */
function nodeTest(list: readonly string[]): Predicate {
  for (const text of list) if (text === '' || text.split('/').length > 2) throw invalid(`'${text.slice(0, 80)}' is no node: use node, cluster/node or cluster/.`);
  const patterns = list.map((text) => (text.endsWith('/') ? `${text}*` : text.includes('/') ? text : `*/${text}`));
  return (flow) => {
    const name = nodeName(flow);
    return patterns.some((pattern) => matchesPattern(pattern, name.includes('/') ? name : `/${name}`));
  };
}

/** Pods carry their workload's name in front: `frontend` is the workload of `frontend-7c9f-x2x`. */
function workloadTest(list: readonly Workload[], end: 'source' | 'destination'): Predicate {
  return (flow) => {
    const name = flow[end].workload ?? '';
    return list.some((workload) => name !== '' && (workload.name === '' || name === workload.name || name.startsWith(`${workload.name}-`)));
  };
}

/** Protocols with ports: for ICMP, the type stands in a port's place. */
const WITH_PORTS = [6, 17, 132];

function portTest(list: readonly string[], end: 'source' | 'destination'): Predicate {
  const ranges = list.map(portRange);
  return (flow) => WITH_PORTS.includes(flow.protocol) && ranges.some(([first, last]) => flow[end].port >= first && flow[end].port <= last);
}

/** Type 0 is any. */
function eventTypeTest(list: readonly EventTypeFilter[]): Predicate {
  return (flow) => {
    const own = eventTypeOf(flow);
    return list.some((wanted) => (wanted.type === 0 || wanted.type === own.type) && (!wanted.matchSubType || wanted.subType === own.subType));
  };
}

/** Things a flow of ours never has: a filter that asks for them matches nothing. */
const never: Predicate = () => false;

function restPart(filter: FlowFilter, budget: CelBudget): Predicate[] {
  const tests: (Predicate | undefined)[] = [
    given(filter.protocol, protocolTest),
    given(filter.nodeName, nodeTest),
    given(filter.sourcePort, (list) => portTest(list, 'source')),
    given(filter.destinationPort, (list) => portTest(list, 'destination')),
    given(filter.sourceWorkload, (list) => workloadTest(list, 'source')),
    given(filter.destinationWorkload, (list) => workloadTest(list, 'destination')),
    given(filter.eventType, eventTypeTest),
    given(filter.ipVersion, (list) => (flow) => list.includes(flow.source.address.includes(':') ? IPVersion.IPv6 : IPVersion.IPv4)),
    given(filter.uuid, (list) => (flow) => list.includes(flow.id)),
    given(filter.interface, (list) => (flow) => list.some(({ name }) => name === flow.interface)),
    given(filter.encrypted, (list) => () => list.includes(false)),
    ...expressionTests(filter),
    given([...filter.sourceService, ...filter.destinationService, ...filter.sourceIpXlated, ...filter.nodeLabels, ...filter.traceId], () => never),
    given(filter.httpHeader, () => never),
    given(filter.ipTraceId, () => never),
    given(filter.experimental?.celExpression ?? [], (list) => celTest(list, budget)),
  ];
  return tests.filter((test) => test !== undefined);
}

function expressionTests(filter: FlowFilter): (Predicate | undefined)[] {
  const onPath = (list: readonly string[]): Predicate => {
    const test = expressions(list);
    return (flow) => flow.http !== undefined && test(flow.http.path);
  };
  return [
    given(filter.httpPath, onPath),
    given(filter.httpUrl, onPath),
    given(filter.dnsQuery, (list) => {
      const test = expressions(list);
      return (flow) => flow.dns !== undefined && test(flow.dns.query);
    }),
  ];
}

/** What is asked with words that this server does not know must not be left out: the answer would be to another question. */
function refuseUnknown(filter: FlowFilter): void {
  const unknown = unknownField(filter);
  if (unknown !== undefined) throw invalid(`This server does not know the filter field number ${unknown}: leave it out, or use the filters of an older client.`);
  if (filter.httpStatusCode.length > 0 && filter.eventType.length > 0 && !filter.eventType.some(({ type }) => type === EVENT_TYPE.accessLog)) {
    throw invalid('A filter by HTTP status needs the event type l7, or none.');
  }
  if ([...filter.sourceWorkload, ...filter.destinationWorkload].some(({ kind }) => kind !== '')) throw invalid('Flows here have names of workloads but not their kinds: leave the kind out.');
  if (filter.interface.some(({ index }) => index !== 0)) throw invalid('Flows here have names of interfaces but not their numbers: leave the index out.');
}

/** Number of a field that the schema does not have, in the message or in one inside it. */
function unknownField(message: Message): number | undefined {
  const [own] = message.$unknown ?? [];
  if (own !== undefined) return own.no;
  for (const value of Object.values(message).flat() as unknown[]) {
    const inner = isMessage(value) ? unknownField(value) : undefined;
    if (inner !== undefined) return inner;
  }
  return undefined;
}

function split(filter: FlowFilter, budget: CelBudget): SplitFilter {
  refuseUnknown(filter);
  return { stored: storedPart(filter), rest: restPart(filter, budget) };
}
