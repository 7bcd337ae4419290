import {
  DROP_REASON,
  FLOW_DIRECTION,
  FLOW_EVENT,
  VERDICT,
  formatAddress,
  type FlowEndFilter,
  type FlowFilter,
  type FlowPolicyFilter,
  type FlowSelection,
  type LabelRequirement,
} from '@palisade/flow';

/** Values of a statement; each use gives its placeholder. */
export class Parameters {
  readonly values: unknown[];

  /** @param values placeholders that the statement has already */
  constructor(values: readonly unknown[] = []) {
    this.values = [...values];
  }

  add(value: unknown): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }

  /** That a column holds the id of an entry `p` of a dictionary table for which the condition is true. */
  among(column: string, table: string, condition: string): string {
    return `${column} IN (SELECT p.id FROM palisade.${table} p WHERE ${condition})`;
  }
}

type Conditions = (string | undefined)[];

function every(conditions: Conditions): string {
  const present = conditions.filter((condition) => condition !== undefined);
  return present.length === 0 ? 'true' : `(${present.join(' AND ')})`;
}

function some(conditions: readonly string[]): string {
  return conditions.length === 0 ? 'false' : `(${conditions.join(' OR ')})`;
}

/** `*` is the only special character of a pattern; LIKE's own are escaped. */
export function likePattern(pattern: string): string {
  return pattern.replace(/[\\%_]/g, '\\$&').replaceAll('*', '%');
}

/** A column that equals one of the patterns; plain names stay an equality. */
function named(column: string, patterns: readonly string[] | undefined, parameters: Parameters): string | undefined {
  if (patterns === undefined) return undefined;
  const plain = patterns.filter((pattern) => !pattern.includes('*'));
  const globs = patterns.filter((pattern) => pattern.includes('*')).map(likePattern);
  return some([
    ...(plain.length === 0 ? [] : [`${column} = ANY (${parameters.add(plain)}::text[])`]),
    ...(globs.length === 0 ? [] : [`${column} LIKE ANY (${parameters.add(globs)}::text[])`]),
  ]);
}

/** Labels are stored as `source:key=value`; a label without value is `source:key` or ends in `=`. */
function labelCondition({ source, key, operator, values }: LabelRequirement, parameters: Parameters): string {
  const bare = source === undefined ? `substr(l, strpos(l, ':') + 1)` : 'l';
  const name = source === undefined ? key : `${source}:${key}`;
  const wantsValues = operator === 'in' || operator === 'not-in';
  const test = wantsValues
    ? `${bare} = ANY (${parameters.add(values.flatMap((value) => (value === '' ? [name, `${name}=`] : [`${name}=${value}`])))}::text[])`
    : `split_part(${bare}, '=', 1) = ${parameters.add(name)}`;
  const exists = `EXISTS (SELECT 1 FROM unnest(p.labels) l WHERE ${test})`;
  return operator === 'in' || operator === 'exists' ? exists : `NOT ${exists}`;
}

function podCondition(pod: string, parameters: Parameters): string {
  const slash = pod.indexOf('/');
  const namespace = slash < 0 ? 'default' : pod.slice(0, slash);
  const prefix = slash < 0 ? pod : pod.slice(slash + 1);
  return every([
    '(p.workload IS NOT NULL OR p.namespace IS NOT NULL)',
    namespace === '' ? undefined : `p.namespace = ${parameters.add(namespace)}`,
    `starts_with(coalesce(p.workload, ''), ${parameters.add(prefix)})`,
  ]);
}

function peerConditions(filter: FlowEndFilter, parameters: Parameters): Conditions {
  const { pods, labels, identities, prefixes, dnsNames } = filter;
  return [
    named('p.namespace', filter.namespaces, parameters),
    named('p.workload', filter.workloads, parameters),
    named('p.cluster', filter.clusters, parameters),
    named('p.node', filter.nodes, parameters),
    pods === undefined ? undefined : some(pods.map((pod) => podCondition(pod, parameters))),
    labels === undefined ? undefined : some(labels.map((selector) => every(selector.map((one) => labelCondition(one, parameters))))),
    identities === undefined ? undefined : `p.identity = ANY (${parameters.add(identities)}::bigint[])`,
    prefixes === undefined
      ? undefined
      : `p.address <<= ANY (${parameters.add(prefixes.map(({ bytes, length }) => `${formatAddress(bytes)}/${length}`))}::inet[])`,
    dnsNames === undefined ? undefined : `EXISTS (SELECT 1 FROM unnest(p.dns_names) n WHERE ${named('n', dnsNames, parameters)})`,
  ];
}

/** Conditions on one end. What is about the peer is decided in its dictionary first: those operators are not leakproof. */
function endCondition(end: 'source' | 'destination', filter: FlowEndFilter, parameters: Parameters): string {
  const peer = peerConditions(filter, parameters).filter((condition) => condition !== undefined);
  return every([
    peer.length === 0 ? undefined : parameters.among(`f.${end}_id`, 'flow_peer', peer.join(' AND ')),
    filter.ports === undefined ? undefined : `f.${end}_port = ANY (${parameters.add(filter.ports)}::integer[])`,
  ]);
}

function policyCondition(filter: FlowPolicyFilter, parameters: Parameters): string {
  const wanted = {
    name: filter.name,
    ...(filter.kind === undefined ? {} : { kind: filter.kind }),
    ...(filter.namespace === undefined ? {} : { namespace: filter.namespace }),
    ...(filter.direction === undefined ? {} : { direction: filter.direction }),
    ...(typeof filter.rule === 'number' ? { index: filter.rule } : {}),
  };
  const element = `SELECT 1 FROM jsonb_array_elements(p.policies) e WHERE e @> ${parameters.add(JSON.stringify(wanted))}::jsonb`;
  const missed = filter.rule === 'default-deny' ? ` AND NOT e ? 'index'` : '';
  return parameters.among('f.policy_set_id', 'flow_policy_set', `EXISTS (${element}${missed})`);
}

function numbers<Name extends string>(column: string, names: readonly Name[] | undefined, codes: Readonly<Record<Name, number>>, parameters: Parameters): string | undefined {
  return names === undefined ? undefined : `${column} = ANY (${parameters.add(names.map((name) => codes[name]))}::smallint[])`;
}

function inDictionary(column: string, table: string, condition: string | undefined, parameters: Parameters): string | undefined {
  return condition === undefined ? undefined : parameters.among(column, table, condition);
}

/** Only HTTP has a status; that the request is there lets the planner take the index of layer 7. */
function statusCondition(status: string, parameters: Parameters): string {
  return status.endsWith('+')
    ? `(f.http_id IS NOT NULL AND starts_with(f.http_status::text, ${parameters.add(status.slice(0, -1))}))`
    : `(f.http_id IS NOT NULL AND f.http_status::text = ${parameters.add(status)})`;
}

function layerConditions(filter: FlowFilter, parameters: Parameters): Conditions {
  const { httpStatuses, httpMethods, tcpFlags, layer7 } = filter;
  return [
    tcpFlags === undefined ? undefined : `(f.protocol = 6 AND EXISTS (SELECT 1 FROM unnest(${parameters.add(tcpFlags)}::integer[]) m WHERE (coalesce(f.tcp_flags, 0) & m) = m))`,
    layer7 === undefined ? undefined : some(layer7.map((layer) => `f.${layer}_id IS NOT NULL`)),
    inDictionary('f.process_id', 'flow_process', named('p."binary"', filter.processes, parameters), parameters),
    inDictionary('f.http_id', 'flow_http', httpMethods === undefined ? undefined : `p.method = ANY (${parameters.add(httpMethods)}::text[])`, parameters),
    inDictionary('f.http_id', 'flow_http', named('p.path', filter.httpPaths, parameters), parameters),
    httpStatuses === undefined ? undefined : some(httpStatuses.map((status) => statusCondition(status, parameters))),
    inDictionary('f.dns_id', 'flow_dns', named('p.query', filter.dnsQueries, parameters), parameters),
  ];
}

function filterCondition(filter: FlowFilter, parameters: Parameters): string {
  const { source, destination, either, policies, protocols, shadowDiffers } = filter;
  return every([
    source === undefined ? undefined : endCondition('source', source, parameters),
    destination === undefined ? undefined : endCondition('destination', destination, parameters),
    either === undefined ? undefined : some([endCondition('source', either, parameters), endCondition('destination', either, parameters)]),
    verdictCondition(filter, parameters),
    numbers('f.direction', filter.directions, FLOW_DIRECTION, parameters),
    numbers('f.event', filter.events, FLOW_EVENT, parameters),
    numbers('f.drop_reason', filter.dropReasons, DROP_REASON, parameters),
    protocols === undefined ? undefined : `f.protocol = ANY (${parameters.add(protocols)}::smallint[])`,
    filter.reply === undefined ? undefined : `f.is_reply = ${filter.reply}`,
    inDictionary('f.observer_id', 'flow_observer', named('p.node', filter.observers, parameters), parameters),
    policies === undefined ? undefined : some(policies.map((policy) => policyCondition(policy, parameters))),
    shadowDiffers === undefined ? undefined : `f.shadow_verdict IS ${shadowDiffers ? 'NOT ' : ''}NULL`,
    numbers('f.shadow_verdict', filter.shadowVerdicts, VERDICT, parameters),
    ...layerConditions(filter, parameters),
  ]);
}

/** Drops have a partial index, which the planner recognises only by the constant. */
function verdictCondition({ verdicts }: FlowFilter, parameters: Parameters): string | undefined {
  if (verdicts?.length === 1 && verdicts[0] === 'dropped') return `f.verdict = ${VERDICT.dropped}`;
  return numbers('f.verdict', verdicts, VERDICT, parameters);
}

/** Condition on `palisade.flow f` for a selection. */
export function selectionCondition({ allow, deny }: FlowSelection, parameters: Parameters): string {
  return every([
    allow.length === 0 ? undefined : some(allow.map((filter) => filterCondition(filter, parameters))),
    ...deny.map((filter) => `(${filterCondition(filter, parameters)}) IS NOT TRUE`),
  ]);
}

/** Namespaces an actor is bound to: one of the ends must lie in them. */
export function namespaceScopeCondition(namespaces: readonly string[], parameters: Parameters): string {
  const inside = `p.namespace = ANY (${parameters.add(namespaces)}::text[])`;
  return `(${parameters.among('f.source_id', 'flow_peer', inside)} OR ${parameters.among('f.destination_id', 'flow_peer', inside)})`;
}
