/** Parts of policies and flows in words, for people who read verdicts. */

import type { End } from '../evaluate/ends.ts';
import { formatAddress } from '../ip-address.ts';
import type { LabelRequirement, LabelSelector, Peer, PortClause, PortMatch } from '../ir.ts';
import { CLUSTER_KEY, NAMESPACE_KEY } from '../labels.ts';
import type { PolicyReference } from '../resolution.ts';
import type { FlowQuery } from '../verdict.ts';

export function describeReference({ kind, namespace, name, revision, index, tier, section, spec }: PolicyReference): string {
  const where = namespace === undefined ? name : `${namespace}/${name}`;
  const order = tier === 'admin' || tier === 'baseline' ? `, ${tier} tier` : '';
  const list = `${spec === undefined ? '' : `specs[${spec}] `}${section === undefined ? '' : `${section} `}`;
  return `${kind} ${where} (revision ${revision}${order}${index === undefined ? '' : `, ${list}rule ${index}`})`;
}

export function describeEnd(end: End): string {
  switch (end.kind) {
    case 'workload':
      return end.workload === undefined ? 'a workload' : `${end.workload.namespace}/${end.workload.name}`;
    case 'node':
      return `${end.node === undefined ? 'a remote node' : `node ${end.node}`}${end.kubeApiserver ? ' (kube-apiserver)' : ''}`;
    case 'reserved':
      return `the ${end.reserved ?? 'reserved'} endpoint`;
    case 'outside': {
      const address = end.addresses[0];
      const where = address === undefined ? `IPv${end.families[0] ?? 4} world` : formatAddress(address);
      return `outside ${where}${end.names.length === 0 ? '' : ` (${end.names.join(', ')})`}`;
    }
  }
}

export function describeTraffic({ protocol, port, icmpType, http, dns }: FlowQuery): string {
  const l4 = icmpType === undefined ? (port === undefined ? protocol : `${protocol} port ${port}`) : `${protocol} type ${icmpType}`;
  if (http !== undefined) return `${l4}, ${http.method} ${http.host}${http.path}`;
  return dns === undefined ? l4 : `${l4}, DNS question ${dns.query}`;
}

/** At most this many entries of a list are spelled out. */
const SPELLED_OUT = 5;

export function listed(items: readonly string[], joint = ' or '): string {
  if (items.length <= SPELLED_OUT) return items.join(joint);
  return `${items.slice(0, SPELLED_OUT).join(joint)}${joint}${items.length - SPELLED_OUT} more`;
}

export function describeRequirement({ key, operator, values }: LabelRequirement): string {
  const name = key.startsWith('any:') || key.startsWith('k8s:') ? key.slice(4) : key;
  switch (operator) {
    case 'in':
      return values.length === 1 ? `${name}=${values[0] ?? ''}` : `${name} in (${listed(values, ', ')})`;
    case 'not-in':
      return `${name} not in (${listed(values, ', ')})`;
    case 'exists':
      return `has ${name}`;
    case 'not-exists':
      return `has no ${name}`;
  }
}

/** Bounds that compilation added say nothing to the author; a bound namespace does. */
function isImplied({ key, operator }: LabelRequirement): boolean {
  return key === `k8s:${NAMESPACE_KEY}` && operator === 'exists';
}

export function describeSelector({ requirements }: LabelSelector): string {
  const said = requirements.filter((requirement) => !isImplied(requirement) && !requirement.key.endsWith(`:${CLUSTER_KEY}`));
  return said.length === 0 ? 'everything' : said.map(describeRequirement).join(' and ');
}

export function describePeer(peer: Peer): string {
  const without = 'except' in peer && peer.except.length > 0 ? ` except ${listed(peer.except, ', ')}` : '';
  switch (peer.kind) {
    case 'any':
      return 'anybody';
    case 'endpoints':
      return `endpoints with ${describeSelector(peer.selector)}`;
    case 'entity':
      return `entity ${peer.entity}`;
    case 'cidr':
      return `${peer.cidr}${without}${peer.matchesPods ? '' : ' outside the cluster'}`;
    case 'cidr-group':
      return `CIDR group ${peer.name}${without}`;
    case 'cidr-group-selector':
      return `CIDR groups with ${describeSelector(peer.selector)}${without}`;
    case 'fqdn':
      return peer.name.value;
    case 'service':
      return `service ${peer.namespace === undefined ? '' : `${peer.namespace}/`}${peer.name}`;
    case 'service-selector':
      return `services${peer.namespace === undefined ? '' : ` of ${peer.namespace}`} with ${describeSelector(peer.selector)}`;
    case 'nodes':
      return `${peer.scope === 'remote' ? 'remote ' : ''}nodes with ${describeSelector(peer.selector)}`;
  }
}

export function describePort(match: PortMatch): string {
  switch (match.kind) {
    case 'any':
      return 'any protocol';
    case 'range':
      if (match.first === 0 && match.last === 65_535) return match.protocol;
      return match.first === match.last ? `${match.protocol} ${match.first}` : `${match.protocol} ${match.first}–${match.last}`;
    case 'named':
      return `port "${match.name}" (${match.protocols.join(', ')})`;
    case 'icmp':
      return `${match.protocol} type ${match.type}`;
    case 'protocol':
      return `IP protocol ${match.number}`;
  }
}

export function describePorts(clauses: readonly PortClause[]): string {
  const ports = [...new Set(clauses.flatMap(({ ports: matches }) => matches.map(describePort)))];
  return ports.length === 0 ? 'no traffic at all' : listed(ports);
}
