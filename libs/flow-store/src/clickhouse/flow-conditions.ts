import {
  DROP_REASON, FLOW_DIRECTION, FLOW_EVENT, VERDICT,
  type AddressPrefix, type FlowEndFilter, type FlowFilter, type FlowPolicyFilter, type FlowSelection, type LabelRequirement,
} from '@palisade/flow';
import { DEFAULT_DENY, PRESENT } from './content-id.ts';
import type { TenantQuestion } from './tenant-question.ts';

type Conditions = (string | undefined)[];

function every(conditions: Conditions): string {
  const present = conditions.filter((condition) => condition !== undefined);
  return present.length === 0 ? '1' : `(${present.join(' AND ')})`;
}

function some(conditions: readonly string[]): string {
  return conditions.length === 0 ? '0' : `(${conditions.join(' OR ')})`;
}

/** `*` is the only special character of a pattern; LIKE's own are escaped. */
function likePattern(pattern: string): string {
  return pattern.replace(/[\\%_]/g, '\\$&').replaceAll('*', '%');
}

/** A text that equals one of the patterns; plain names stay an equality. An absent text (NULL) equals none. */
function named(text: string, patterns: readonly string[] | undefined, question: TenantQuestion): string | undefined {
  if (patterns === undefined) return undefined;
  const plain = patterns.filter((pattern) => !pattern.includes('*'));
  const globs = patterns.filter((pattern) => pattern.includes('*'));
  const present = `assumeNotNull(${text})`;
  const matches = some([
    ...(plain.length === 0 ? [] : [`has(${question.add('Array(String)', plain)}, ${present})`]),
    ...globs.map((glob) => `${present} LIKE ${question.add('String', likePattern(glob))}`),
  ]);
  return `(isNotNull(${text}) AND ${matches})`;
}

/** Labels are stored as `source:key=value`; a label without value is `source:key` or ends in `=`. */
function labelCondition({ source, key, operator, values }: LabelRequirement, question: TenantQuestion): string {
  const bare = source === undefined ? `substring(l, position(l, ':') + 1)` : 'l';
  const name = source === undefined ? key : `${source}:${key}`;
  const wantsValues = operator === 'in' || operator === 'not-in';
  const test = wantsValues
    ? `has(${question.add('Array(String)', values.flatMap((value) => (value === '' ? [name, `${name}=`] : [`${name}=${value}`])))}, ${bare})`
    : `(${bare} = ${question.add('String', name)} OR startsWith(${bare}, ${question.add('String', `${name}=`)}))`;
  const exists = `arrayExists(l -> ${test}, labels)`;
  return operator === 'in' || operator === 'exists' ? exists : `NOT ${exists}`;
}

function podCondition(pod: string, question: TenantQuestion): string {
  const slash = pod.indexOf('/');
  const namespace = slash < 0 ? 'default' : pod.slice(0, slash);
  const prefix = slash < 0 ? pod : pod.slice(slash + 1);
  return every([
    '(isNotNull(workload) OR isNotNull(namespace))',
    namespace === '' ? undefined : `ifNull(namespace = ${question.add('String', namespace)}, 0)`,
    `startsWith(ifNull(workload, ''), ${question.add('String', prefix)})`,
  ]);
}

/** Addresses of a prefix are a range of equally long hexadecimal texts. */
function prefixCondition({ bytes, length }: AddressPrefix, question: TenantQuestion): string {
  const bounds = [0x00, 0xff].map((fill) => {
    const bound = Buffer.from(bytes);
    for (let index = 0; index < bound.length; index++) {
      const own = Math.max(0, Math.min(8, length - index * 8));
      const mask = (0xff00 >> own) & 0xff;
      bound[index] = ((bytes[index] ?? 0) & mask) | (fill & ~mask & 0xff);
    }
    return question.add('String', bound.toString('hex'));
  });
  return `(length(address_hex) = ${bytes.length * 2} AND address_hex >= ${bounds[0]} AND address_hex <= ${bounds[1]})`;
}

function peerConditions(filter: FlowEndFilter, question: TenantQuestion): Conditions {
  const { pods, labels, identities, prefixes, dnsNames } = filter;
  return [
    named('namespace', filter.namespaces, question),
    named('workload', filter.workloads, question),
    named('cluster', filter.clusters, question),
    named('node', filter.nodes, question),
    pods === undefined ? undefined : some(pods.map((pod) => podCondition(pod, question))),
    labels === undefined ? undefined : some(labels.map((selector) => every(selector.map((one) => labelCondition(one, question))))),
    identities === undefined ? undefined : `has(${question.add('Array(UInt64)', identities)}, identity)`,
    prefixes === undefined ? undefined : some(prefixes.map((prefix) => prefixCondition(prefix, question))),
    dnsNames === undefined ? undefined : `arrayExists(n -> ${named('n', dnsNames, question) ?? '0'}, dns_names)`,
  ];
}

/** Conditions on one end. What is about the peer is decided in its dictionary first. */
function endCondition(end: 'source' | 'destination', filter: FlowEndFilter, question: TenantQuestion): string {
  const peer = peerConditions(filter, question).filter((condition) => condition !== undefined);
  return every([
    peer.length === 0 ? undefined : question.within(`${end}_id`, 'id', 'flow_peer', peer),
    filter.ports === undefined ? undefined : `has(${question.add('Array(UInt16)', filter.ports)}, ${end}_port)`,
  ]);
}

function policyCondition(filter: FlowPolicyFilter, question: TenantQuestion): string {
  const rule = filter.rule === 'default-deny' ? DEFAULT_DENY : filter.rule;
  const test = every([
    `n = ${question.add('String', filter.name)}`,
    filter.kind === undefined ? undefined : `k = ${question.add('String', filter.kind)}`,
    filter.namespace === undefined ? undefined : `s = ${question.add('String', `${PRESENT}${filter.namespace}`)}`,
    filter.direction === undefined ? undefined : `d = ${FLOW_DIRECTION[filter.direction]}`,
    rule === undefined ? undefined : `r = ${question.add('Int64', rule)}`,
  ]);
  return question.within('policy_set_id', 'id', 'flow_policy_set', [`arrayExists((k, s, n, d, r) -> ${test}, kinds, namespaces, names, directions, rules)`]);
}

function codes<Name extends string>(column: string, names: readonly Name[] | undefined, numbers: Readonly<Record<Name, number>>): string | undefined {
  return names === undefined ? undefined : some(names.map((name) => `${column} = ${numbers[name]}`));
}

const TCP = 6;

function statusCondition(status: string, question: TenantQuestion): string {
  const text = 'toString(http_status)';
  return status.endsWith('+')
    ? `(http_status > 0 AND startsWith(${text}, ${question.add('String', status.slice(0, -1))}))`
    : `(http_status > 0 AND ${text} = ${question.add('String', status)})`;
}

function layerConditions(filter: FlowFilter, question: TenantQuestion): Conditions {
  const { httpStatuses, httpMethods, httpPaths, processes, dnsQueries, tcpFlags, layer7 } = filter;
  return [
    tcpFlags === undefined ? undefined : `(protocol = ${TCP} AND arrayExists(m -> bitAnd(tcp_flags, m) = m, ${question.add('Array(UInt16)', tcpFlags)}))`,
    layer7 === undefined ? undefined : some(layer7.map((layer) => `${layer}_id > 0`)),
    processes === undefined ? undefined : question.within('process_id', 'id', 'flow_process', [named('binary', processes, question) ?? '0']),
    httpMethods === undefined ? undefined : question.within('http_id', 'id', 'flow_http', [`has(${question.add('Array(String)', httpMethods)}, method)`]),
    httpPaths === undefined ? undefined : question.within('http_id', 'id', 'flow_http', [named('path', httpPaths, question) ?? '0']),
    httpStatuses === undefined ? undefined : `(http_id > 0 AND ${some(httpStatuses.map((status) => statusCondition(status, question)))})`,
    dnsQueries === undefined ? undefined : question.within('dns_id', 'id', 'flow_dns', [named('query', dnsQueries, question) ?? '0']),
  ];
}

function filterCondition(filter: FlowFilter, question: TenantQuestion): string {
  const { source, destination, either, policies, protocols, shadowDiffers, observers } = filter;
  return every([
    codes('verdict', filter.verdicts, VERDICT),
    source === undefined ? undefined : endCondition('source', source, question),
    destination === undefined ? undefined : endCondition('destination', destination, question),
    either === undefined ? undefined : some([endCondition('source', either, question), endCondition('destination', either, question)]),
    codes('direction', filter.directions, FLOW_DIRECTION),
    codes('event', filter.events, FLOW_EVENT),
    codes('drop_reason', filter.dropReasons, DROP_REASON),
    protocols === undefined ? undefined : `has(${question.add('Array(UInt8)', protocols)}, protocol)`,
    filter.reply === undefined ? undefined : `is_reply = ${filter.reply ? 1 : 0}`,
    observers === undefined ? undefined : question.within('observer_id', 'id', 'flow_observer', [named('node', observers, question) ?? '0']),
    policies === undefined ? undefined : some(policies.map((policy) => policyCondition(policy, question))),
    shadowDiffers === undefined ? undefined : `shadow_verdict ${shadowDiffers ? '>' : '='} 0`,
    codes('shadow_verdict', filter.shadowVerdicts, VERDICT),
    ...layerConditions(filter, question),
  ]);
}

/** Condition on `flow` for a selection. No part of it is ever NULL, so that denying is the opposite of allowing. */
export function selectionCondition({ allow, deny }: FlowSelection, question: TenantQuestion): string {
  return every([
    allow.length === 0 ? undefined : some(allow.map((filter) => filterCondition(filter, question))),
    ...deny.map((filter) => `NOT (${filterCondition(filter, question)})`),
  ]);
}
