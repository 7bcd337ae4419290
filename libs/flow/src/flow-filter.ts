/**
 * The query model: what can be asked about flows. Filters are plain data; stores turn them into SQL, `matchesFlow` applies
 * them to flows at hand, and both give the same answer (the stores' conformance suite compares them).
 */
import type { DropReason, FlowDirection, FlowEvent, FlowPeer, FlowPolicy, FlowRecord, Verdict } from './flow-record.ts';
import { parseAddress, prefixContains, type AddressPrefix } from './ip-address.ts';
import { matchesLabels, type LabelRequirement } from './label-selector.ts';

/** Text with `*` for any run of characters; nothing else is special. Case matters. */
export type NamePattern = string;

/** Conditions on one end. Values of a list are alternatives; different fields must all hold. */
export interface FlowEndFilter {
  readonly namespaces?: readonly NamePattern[];
  readonly workloads?: readonly NamePattern[];
  /** `namespace/name-prefix`, as Hubble's --pod; either part may be empty. */
  readonly pods?: readonly string[];
  /** Alternatives; the requirements inside one must all hold. */
  readonly labels?: readonly (readonly LabelRequirement[])[];
  readonly identities?: readonly number[];
  readonly prefixes?: readonly AddressPrefix[];
  readonly ports?: readonly number[];
  readonly dnsNames?: readonly NamePattern[];
  readonly clusters?: readonly NamePattern[];
  readonly nodes?: readonly NamePattern[];
}

export interface FlowPolicyFilter {
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly direction?: FlowDirection;
  /** Position of the rule; `default-deny` for flows that no rule matched. */
  readonly rule?: number | 'default-deny';
}

export type FlowLayer7 = 'http' | 'dns';

/** Different fields must all hold; values of a list are alternatives. An empty filter matches every flow. */
export interface FlowFilter {
  readonly source?: FlowEndFilter;
  readonly destination?: FlowEndFilter;
  /** Either end, every condition at the same end. */
  readonly either?: FlowEndFilter;
  readonly verdicts?: readonly Verdict[];
  readonly directions?: readonly FlowDirection[];
  readonly events?: readonly FlowEvent[];
  readonly dropReasons?: readonly DropReason[];
  /** IANA numbers. */
  readonly protocols?: readonly number[];
  readonly reply?: boolean;
  readonly observers?: readonly NamePattern[];
  readonly policies?: readonly FlowPolicyFilter[];
  /** Patterns of the binary's path. */
  readonly processes?: readonly NamePattern[];
  /** True: the shadow policy would have decided otherwise. */
  readonly shadowDiffers?: boolean;
  /** What the shadow policy would have decided, where it differs. */
  readonly shadowVerdicts?: readonly Verdict[];
  /** Masks of flag bits (RFC 9293 §3.1, FIN lowest): all bits of one of them were seen, on TCP. */
  readonly tcpFlags?: readonly number[];
  /** What was read of the connection's content. */
  readonly layer7?: readonly FlowLayer7[];
  readonly httpMethods?: readonly string[];
  readonly httpPaths?: readonly NamePattern[];
  /** `404`, or a class such as `5+` (Hubble's form). */
  readonly httpStatuses?: readonly string[];
  readonly dnsQueries?: readonly NamePattern[];
}

/** Allow and deny lists as Hubble has them: a flow is wanted when some allow filter matches (or there is none) and no deny filter does. */
export interface FlowSelection {
  readonly allow: readonly FlowFilter[];
  readonly deny: readonly FlowFilter[];
}

export const EVERY_FLOW: FlowSelection = { allow: [], deny: [] };

/** Linear-time glob match; patterns may come from anybody. */
export function matchesPattern(pattern: NamePattern, text: string): boolean {
  let at = 0;
  let star = -1;
  let mark = 0;
  let from = 0;
  while (at < text.length) {
    if (from < pattern.length && pattern[from] === '*') {
      star = from++;
      mark = at;
    } else if (from < pattern.length && pattern[from] === text[at]) {
      from++;
      at++;
    } else if (star >= 0) {
      from = star + 1;
      at = ++mark;
    } else return false;
  }
  while (pattern[from] === '*') from++;
  return from === pattern.length;
}

function anyPattern(patterns: readonly NamePattern[], text: string | undefined): boolean {
  return text !== undefined && patterns.some((pattern) => matchesPattern(pattern, text));
}

function wanted<Value>(values: readonly Value[] | undefined, test: (values: readonly Value[]) => boolean): boolean {
  return values === undefined || test(values);
}

function matchesPod(pod: string, peer: FlowPeer): boolean {
  const slash = pod.indexOf('/');
  const namespace = slash < 0 ? 'default' : pod.slice(0, slash);
  const name = slash < 0 ? pod : pod.slice(slash + 1);
  if (peer.workload === undefined && peer.namespace === undefined) return false;
  return (namespace === '' || peer.namespace === namespace) && (peer.workload ?? '').startsWith(name);
}

/** True when one end, with its port, meets every condition. */
export function matchesEnd(filter: FlowEndFilter, peer: FlowPeer, port: number): boolean {
  return (
    wanted(filter.namespaces, (patterns) => anyPattern(patterns, peer.namespace)) &&
    wanted(filter.workloads, (patterns) => anyPattern(patterns, peer.workload)) &&
    wanted(filter.pods, (pods) => pods.some((pod) => matchesPod(pod, peer))) &&
    wanted(filter.labels, (selectors) => selectors.some((selector) => matchesLabels(selector, peer.labels))) &&
    wanted(filter.identities, (identities) => identities.includes(peer.identity)) &&
    wanted(filter.prefixes, (prefixes) => inPrefixes(prefixes, peer.address)) &&
    wanted(filter.ports, (ports) => ports.includes(port)) &&
    wanted(filter.dnsNames, (patterns) => (peer.dnsNames ?? []).some((name) => anyPattern(patterns, name))) &&
    wanted(filter.clusters, (patterns) => anyPattern(patterns, peer.cluster)) &&
    wanted(filter.nodes, (patterns) => anyPattern(patterns, peer.node))
  );
}

function inPrefixes(prefixes: readonly AddressPrefix[], address: string): boolean {
  const bytes = parseAddress(address);
  return bytes !== undefined && prefixes.some((prefix) => prefixContains(prefix, bytes));
}

function matchesPolicy(filter: FlowPolicyFilter, policy: FlowPolicy): boolean {
  return (
    filter.name === policy.name &&
    (filter.kind === undefined || filter.kind === policy.kind) &&
    (filter.namespace === undefined || filter.namespace === policy.namespace) &&
    (filter.direction === undefined || filter.direction === policy.direction) &&
    (filter.rule === undefined || filter.rule === (policy.index ?? 'default-deny'))
  );
}

function matchesStatus(wantedStatus: string, status: number | undefined): boolean {
  if (status === undefined) return false;
  return wantedStatus.endsWith('+') ? String(status).startsWith(wantedStatus.slice(0, -1)) : String(status) === wantedStatus;
}

function matchesEnds(filter: FlowFilter, { source, destination }: FlowRecord): boolean {
  const { either } = filter;
  return (
    (filter.source === undefined || matchesEnd(filter.source, source, source.port)) &&
    (filter.destination === undefined || matchesEnd(filter.destination, destination, destination.port)) &&
    (either === undefined || matchesEnd(either, source, source.port) || matchesEnd(either, destination, destination.port))
  );
}

const TCP = 6;

function matchesLayers(filter: FlowFilter, { http, dns, process, protocol, tcpFlags }: FlowRecord): boolean {
  return (
    wanted(filter.tcpFlags, (masks) => protocol === TCP && masks.some((mask) => (tcpFlags & mask) === mask)) &&
    wanted(filter.layer7, (layers) => layers.some((layer) => (layer === 'http' ? http : dns) !== undefined)) &&
    wanted(filter.processes, (patterns) => anyPattern(patterns, process?.binary)) &&
    wanted(filter.httpMethods, (methods) => http !== undefined && methods.includes(http.method)) &&
    wanted(filter.httpPaths, (patterns) => anyPattern(patterns, http?.path)) &&
    wanted(filter.httpStatuses, (statuses) => statuses.some((status) => matchesStatus(status, http?.status))) &&
    wanted(filter.dnsQueries, (patterns) => anyPattern(patterns, dns?.query))
  );
}

export function matchesFilter(filter: FlowFilter, flow: FlowRecord): boolean {
  return (
    matchesEnds(filter, flow) &&
    wanted(filter.verdicts, (verdicts) => verdicts.includes(flow.verdict)) &&
    wanted(filter.directions, (directions) => directions.includes(flow.direction)) &&
    wanted(filter.events, (events) => events.includes(flow.event)) &&
    wanted(filter.dropReasons, (reasons) => flow.dropReason !== undefined && reasons.includes(flow.dropReason)) &&
    wanted(filter.protocols, (protocols) => protocols.includes(flow.protocol)) &&
    (filter.reply === undefined || filter.reply === flow.isReply) &&
    wanted(filter.observers, (patterns) => anyPattern(patterns, flow.node)) &&
    wanted(filter.policies, (policies) => policies.some((one) => flow.policies.some((policy) => matchesPolicy(one, policy)))) &&
    (filter.shadowDiffers === undefined || filter.shadowDiffers === (flow.shadowVerdict !== undefined)) &&
    wanted(filter.shadowVerdicts, (verdicts) => flow.shadowVerdict !== undefined && verdicts.includes(flow.shadowVerdict)) &&
    matchesLayers(filter, flow)
  );
}

/** Whether a selection wants the flow. */
export function matchesFlow({ allow, deny }: FlowSelection, flow: FlowRecord): boolean {
  return (allow.length === 0 || allow.some((filter) => matchesFilter(filter, flow))) && !deny.some((filter) => matchesFilter(filter, flow));
}
