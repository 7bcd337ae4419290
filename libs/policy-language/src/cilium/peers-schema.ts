/** Peer fields of Cilium rules, read to values (rules 35, 36, 41–47). */

import { formatPrefix, type Entity, type FqdnSelector, type IpPrefix, type LabelRequirement } from '@palisade/policy';
import { ciliumKey, dnsSubdomainFault, labelSelector } from '../kubernetes/label-selector.ts';
import { checkExceptions, cidr } from '../schema/cidr.ts';
import { list, object, oneOf, refine, text } from '../schema/readers.ts';
import { quoted, type Reader } from '../schema/reading.ts';
import { fieldOrSelf } from '../source/source-node.ts';
import { fqdnSelector } from './fqdn-schema.ts';

const ENTITIES = [
  'all',
  'world',
  'world-ipv4',
  'world-ipv6',
  'cluster',
  'host',
  'init',
  'ingress',
  'unmanaged',
  'remote-node',
  'health',
  'none',
  'kube-apiserver',
] as const satisfies readonly Entity[];

export type CidrSpec =
  | { readonly kind: 'cidr'; readonly cidr: string; readonly except: readonly string[] }
  | { readonly kind: 'group'; readonly name: string; readonly except: readonly string[] }
  | { readonly kind: 'groups'; readonly labels: readonly LabelRequirement[]; readonly except: readonly string[] };

const cidrSetFields = object(
  {
    cidr,
    cidrGroupRef: refine(text('cidrGroupRef', { min: 1, max: 253 }), (value, node, reading) => {
      const fault = dnsSubdomainFault(value);
      return fault === undefined ? value : reading.error(node, 'value.format', `${quoted(value)} cannot be the name of a CiliumCIDRGroup: ${fault}.`);
    }),
    cidrGroupSelector: labelSelector('cidrGroupSelector', ciliumKey),
    except: list(cidr, { what: 'except' }),
  },
  { what: 'A CIDR set entry' },
);

const cidrSetEntry: Reader<CidrSpec> = refine(cidrSetFields, (value, node, reading) => {
  const given = [value.cidr, value.cidrGroupRef, value.cidrGroupSelector].filter((field) => field !== undefined);
  if (given.length !== 1) {
    return reading.error(
      node,
      'field.exclusive',
      `A CIDR set entry needs exactly one of cidr, cidrGroupRef and cidrGroupSelector, not ${given.length}.`,
    );
  }
  const before = reading.problems.length;
  const holes = fieldOrSelf(node, 'except');
  if (value.cidr !== undefined) checkExceptions(value.cidr, value.except ?? [], false, holes.kind === 'list' ? holes.items : [], reading);
  if (reading.problems.length > before) return undefined;
  const except = (value.except ?? []).map(formatPrefix);
  if (value.cidr !== undefined) return { kind: 'cidr', cidr: formatPrefix(value.cidr), except };
  if (value.cidrGroupRef !== undefined) return { kind: 'group', name: value.cidrGroupRef, except };
  return { kind: 'groups', labels: value.cidrGroupSelector ?? [], except };
});

const plainCidr: Reader<CidrSpec> = refine(cidr, (prefix: IpPrefix) => ({ kind: 'cidr', cidr: formatPrefix(prefix), except: [] }));

export interface ServiceSpec {
  readonly name: string | undefined;
  readonly namespace: string | undefined;
  readonly labels: readonly LabelRequirement[] | undefined;
}

const service: Reader<ServiceSpec> = refine(
  object(
    {
      k8sService: object(
        { serviceName: text('serviceName', { min: 1 }), namespace: text('The namespace') },
        { what: 'k8sService', required: ['serviceName'] },
      ),
      k8sServiceSelector: object(
        { selector: labelSelector('selector', ciliumKey), namespace: text('The namespace') },
        { what: 'k8sServiceSelector', required: ['selector'] },
      ),
    },
    { what: 'A toServices entry' },
  ),
  ({ k8sService: named, k8sServiceSelector: selected }, node, reading) => {
    if ((named === undefined) === (selected === undefined)) {
      return reading.error(node, 'field.exclusive', 'A toServices entry needs exactly one of k8sService and k8sServiceSelector.');
    }
    const namespace = named?.namespace ?? selected?.namespace;
    return { name: named?.serviceName, namespace: namespace === '' ? undefined : namespace, labels: selected?.selector };
  },
);

/** Security groups of a cloud, met by the labels that inventory gives to interfaces (`cloud:sg`). */
export interface GroupSpec {
  readonly requirements: readonly LabelRequirement[];
}

const group: Reader<GroupSpec> = refine(
  object(
    {
      aws: object(
        {
          labels: labelSelectorMap(),
          securityGroupsIds: list(text('A security group id', { min: 1 }), { what: 'securityGroupsIds' }),
          securityGroupsNames: list(text('A security group name', { min: 1 }), { what: 'securityGroupsNames' }),
          region: text('The region'),
        },
        { what: 'An aws group' },
      ),
    },
    { what: 'A group', required: ['aws'] },
  ),
  ({ aws }) => ({
    requirements: [
      { key: 'cloud:provider', operator: 'in', values: ['aws'] },
      ...(aws.region === undefined || aws.region === '' ? [] : [equals('cloud:region', [aws.region])]),
      ...(aws.securityGroupsIds === undefined ? [] : [equals('cloud:sg', aws.securityGroupsIds)]),
      ...(aws.securityGroupsNames === undefined ? [] : [equals('cloud:sg-name', aws.securityGroupsNames)]),
      ...(aws.labels ?? []),
    ],
  }),
);

function equals(key: string, values: readonly string[]): LabelRequirement {
  return { key, operator: 'in', values };
}

/** `labels` of an aws group are instance tags. */
function labelSelectorMap(): Reader<readonly LabelRequirement[]> {
  return (node, reading) => {
    if (node.kind !== 'map') return reading.error(node, 'value.type', 'labels must be a map of tags.');
    const requirements: LabelRequirement[] = [];
    for (const [key, field] of node.fields) {
      const value = text(`The tag ${quoted(key)}`, { max: 256 })(field, reading);
      if (value !== undefined) requirements.push(equals(`tag:${key}`, [value]));
    }
    return requirements.length === node.fields.size ? requirements : undefined;
  };
}

const endpoints = (what: string) => list(labelSelector(what, ciliumKey), { what });
const groups = (what: string) => list(group, { what });

export const ingressPeers = {
  fromEndpoints: endpoints('fromEndpoints'),
  fromRequires: endpoints('fromRequires'),
  fromCIDR: list(plainCidr, { what: 'fromCIDR' }),
  fromCIDRSet: list(cidrSetEntry, { what: 'fromCIDRSet' }),
  fromEntities: list(oneOf('An entity', ENTITIES), { what: 'fromEntities' }),
  fromGroups: groups('fromGroups'),
  fromNodes: endpoints('fromNodes'),
};

export const egressPeers = {
  toEndpoints: endpoints('toEndpoints'),
  toRequires: endpoints('toRequires'),
  toCIDR: list(plainCidr, { what: 'toCIDR' }),
  toCIDRSet: list(cidrSetEntry, { what: 'toCIDRSet' }),
  toEntities: list(oneOf('An entity', ENTITIES), { what: 'toEntities' }),
  toServices: list(service, { what: 'toServices' }),
  toGroups: groups('toGroups'),
  toNodes: endpoints('toNodes'),
};

export const fqdnPeers = { toFQDNs: list(fqdnSelector('A toFQDNs entry'), { what: 'toFQDNs' }) };

/** The peer fields of one rule whatever its direction; undefined where the rule does not have the field. */
export interface PeerFields {
  readonly endpoints: readonly (readonly LabelRequirement[])[] | undefined;
  readonly requires: readonly (readonly LabelRequirement[])[] | undefined;
  readonly cidrs: readonly CidrSpec[] | undefined;
  readonly entities: readonly Entity[] | undefined;
  readonly groups: readonly GroupSpec[] | undefined;
  readonly nodes: readonly (readonly LabelRequirement[])[] | undefined;
  readonly services: readonly ServiceSpec[] | undefined;
  readonly fqdns: readonly FqdnSelector[] | undefined;
}
