/** One spec of cilium.io/v2 CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy (rules 31–57). */

import type { PortMatch } from '@palisade/policy';
import { ciliumKey, labelSelector, selectorParts } from '../kubernetes/label-selector.ts';
import { anything, boolean, checked, list, object, oneOf, refine, text } from '../schema/readers.ts';
import type { Reader, Reading } from '../schema/reading.ts';
import { fieldOrSelf, isAbsent, type SourceNode } from '../source/source-node.ts';
import { portRule, type PortRuleSpec } from './l7-schema.ts';
import { egressPeers, fqdnPeers, ingressPeers, type PeerFields } from './peers-schema.ts';
import { denyPorts, icmps } from './ports-schema.ts';

export interface RuleSpec {
  readonly peers: PeerFields;
  readonly toPorts: readonly PortRuleSpec[] | undefined;
  readonly icmps: readonly { readonly fields: readonly PortMatch[] | undefined }[] | undefined;
  readonly authentication: boolean;
}

/** Peer fields of which a rule may have one (rule 36), lists with entries only. */
const EXCLUSIVE = ['Endpoints', 'CIDR', 'CIDRSet', 'Entities', 'Groups', 'Nodes', 'Services', 'FQDNs'];

const checkCombination = (prefix: 'from' | 'to') => (_: unknown, node: SourceNode, reading: Reading) => {
  const filled = (field: string) => {
    const list = node.kind === 'map' ? node.fields.get(field) : undefined;
    return list?.kind === 'list' && list.items.length > 0;
  };
  const present = EXCLUSIVE.map((name) => `${prefix}${name}`).filter(filled);
  if (present.length > 1)
    reading.error(node, 'peer.combination', `A rule names its peers in one field, not in ${present.join(' and ')}: write one rule for each.`);
  if (filled('icmps') && filled('toPorts'))
    reading.error(fieldOrSelf(node, 'icmps'), 'peer.combination', 'icmps and toPorts cannot stand in one rule: write one rule for each.');
};

const authentication = refine(
  object({ mode: oneOf('The mode', ['disabled', 'required', 'test-always-fail']) }, { what: 'authentication', required: ['mode'] }),
  ({ mode }, node, reading) => {
    if (mode !== 'disabled')
      reading.warning(node, 'feature.not-enforced', 'Mutual authentication is not available here: what only this rule allows stays closed.');
    return mode !== 'disabled';
  },
);

const noFqdns = { toFQDNs: 'deny rules cannot depend on DNS answers.', authentication: 'only allowed traffic is authenticated.' };

const INGRESS_PEERS = ['fromEndpoints', 'fromCIDR', 'fromCIDRSet', 'fromEntities', 'fromGroups', 'fromNodes'] as const;
const EGRESS_PEERS = ['toEndpoints', 'toCIDR', 'toCIDRSet', 'toEntities', 'toServices', 'toGroups', 'toNodes'] as const;

const ingressFields = object(
  { ...ingressPeers, toPorts: list(portRule('ingress'), { what: 'toPorts' }), icmps, authentication },
  { what: 'An ingress rule', widens: [...INGRESS_PEERS, 'toPorts', 'icmps'] },
);
const ingressDenyFields = object(
  { ...ingressPeers, toPorts: denyPorts, icmps },
  { what: 'An ingressDeny rule', notHere: noFqdns, widens: [...INGRESS_PEERS, 'toPorts', 'icmps'] },
);
const egressFields = object(
  { ...egressPeers, ...fqdnPeers, toPorts: list(portRule('egress'), { what: 'toPorts' }), icmps, authentication },
  { what: 'An egress rule', widens: [...EGRESS_PEERS, 'toFQDNs', 'toPorts', 'icmps'] },
);
const egressDenyFields = object(
  { ...egressPeers, toPorts: denyPorts, icmps },
  { what: 'An egressDeny rule', notHere: noFqdns, widens: [...EGRESS_PEERS, 'toPorts', 'icmps'] },
);

type IngressPeersRead = NonNullable<ReturnType<typeof ingressDenyFields>>;
type EgressPeersRead = NonNullable<ReturnType<typeof egressDenyFields>>;

function fromIngress(rule: Omit<IngressPeersRead, 'toPorts' | 'icmps'>): PeerFields {
  return {
    endpoints: rule.fromEndpoints,
    requires: rule.fromRequires,
    cidrs: joined(rule.fromCIDR, rule.fromCIDRSet),
    entities: rule.fromEntities,
    groups: rule.fromGroups,
    nodes: rule.fromNodes,
    services: undefined,
    fqdns: undefined,
  };
}

function fromEgress(rule: Omit<EgressPeersRead, 'toPorts' | 'icmps'>, fqdns: PeerFields['fqdns']): PeerFields {
  return {
    endpoints: rule.toEndpoints,
    requires: rule.toRequires,
    cidrs: joined(rule.toCIDR, rule.toCIDRSet),
    entities: rule.toEntities,
    groups: rule.toGroups,
    nodes: rule.toNodes,
    services: rule.toServices,
    fqdns,
  };
}

function joined<T>(a: readonly T[] | undefined, b: readonly T[] | undefined): readonly T[] | undefined {
  return a === undefined && b === undefined ? undefined : [...(a ?? []), ...(b ?? [])];
}

function withoutL7(toPorts: IngressPeersRead['toPorts']): RuleSpec['toPorts'] {
  return toPorts?.map(({ ports }) => ({ ports, rules: undefined, unsupported: undefined }));
}

const ingress: Reader<RuleSpec> = refine(checked(ingressFields, checkCombination('from')), (rule) => ({
  peers: fromIngress(rule),
  toPorts: rule.toPorts,
  icmps: rule.icmps,
  authentication: rule.authentication === true,
}));

const ingressDeny: Reader<RuleSpec> = refine(checked(ingressDenyFields, checkCombination('from')), (rule) => ({
  peers: fromIngress(rule),
  toPorts: withoutL7(rule.toPorts),
  icmps: rule.icmps,
  authentication: false,
}));

const egress: Reader<RuleSpec> = refine(checked(egressFields, checkCombination('to')), (rule) => ({
  peers: fromEgress(rule, rule.toFQDNs),
  toPorts: rule.toPorts,
  icmps: rule.icmps,
  authentication: rule.authentication === true,
}));

const egressDeny: Reader<RuleSpec> = refine(checked(egressDenyFields, checkCombination('to')), (rule) => ({
  peers: fromEgress(rule, undefined),
  toPorts: withoutL7(rule.toPorts),
  icmps: rule.icmps,
  authentication: false,
}));

const fields = object(
  {
    endpointSelector: selectorParts('endpointSelector', ciliumKey),
    nodeSelector: labelSelector('nodeSelector', ciliumKey),
    ingress: list(ingress, { what: 'ingress' }),
    ingressDeny: list(ingressDeny, { what: 'ingressDeny' }),
    egress: list(egress, { what: 'egress' }),
    egressDeny: list(egressDeny, { what: 'egressDeny' }),
    enableDefaultDeny: object(
      { ingress: boolean('enableDefaultDeny.ingress'), egress: boolean('enableDefaultDeny.egress') },
      { what: 'enableDefaultDeny' },
    ),
    log: object({ value: text('log.value', { max: 32 }) }, { what: 'log' }),
    labels: anything,
    description: text('The description'),
  },
  { what: 'The spec of a Cilium policy' },
);

export type CiliumSpec = NonNullable<ReturnType<typeof fields>>;

export interface CiliumSchemaOptions {
  readonly clusterwide: boolean;
  /** Accept fromRequires and toRequires as Cilium did up to 1.18 (rule 47). */
  readonly legacyRequires: boolean;
}

/** Reads one spec with all its demands. */
export function ciliumSpec(options: CiliumSchemaOptions): Reader<CiliumSpec> {
  return checked(fields, checkSubject(options), checkSections, checkHostContent, ...(options.legacyRequires ? [] : [checkRequires]));
}

const checkSubject =
  ({ clusterwide }: CiliumSchemaOptions) =>
  (spec: CiliumSpec, node: SourceNode, reading: Reading) => {
    const both = spec.endpointSelector !== undefined && spec.nodeSelector !== undefined;
    const neither = spec.endpointSelector === undefined && spec.nodeSelector === undefined;
    if (both) reading.error(node, 'field.exclusive', 'A spec selects endpoints or nodes, not both: write two specs.');
    if (neither) reading.error(node, 'field.missing', `A spec needs endpointSelector${clusterwide ? ' or nodeSelector' : ''}; {} selects all.`);
    if (!clusterwide && spec.nodeSelector !== undefined) {
      reading.error(
        fieldOrSelf(node, 'nodeSelector'),
        'policy.scope',
        'Nodes belong to no namespace: use nodeSelector in a CiliumClusterwideNetworkPolicy.',
      );
    }
  };

const SECTIONS = ['ingress', 'ingressDeny', 'egress', 'egressDeny'] as const;

function checkSections(spec: CiliumSpec, node: SourceNode, reading: Reading): void {
  if (SECTIONS.every((section) => (spec[section] ?? []).length === 0)) {
    reading.error(
      node,
      'policy.empty',
      'A spec needs at least one rule in ingress, ingressDeny, egress or egressDeny; to deny everything write an empty rule, ingress: [{}].',
    );
  }
}

/** Host policies look at content on egress, DNS only (rule 53). */
function checkHostContent(spec: CiliumSpec, node: SourceNode, reading: Reading): void {
  if (spec.nodeSelector === undefined) return;
  const refuse = (section: 'ingress' | 'egress', i: number, kind: string) =>
    reading.error(
      fieldOrSelf(fieldOrSelf(node, section), i),
      'l7.invalid',
      `${kind} rules do not work on the ${section} of hosts: only DNS rules on egress do.`,
    );
  for (const [i, { toPorts = [] }] of (spec.ingress ?? []).entries()) {
    if (toPorts.some(({ rules }) => (rules?.http?.length ?? 0) > 0)) refuse('ingress', i, 'HTTP');
  }
  for (const [i, { toPorts = [] }] of (spec.egress ?? []).entries()) {
    if (toPorts.some(({ rules }) => (rules?.http?.length ?? 0) > 0)) refuse('egress', i, 'HTTP');
  }
}

function checkRequires(_: CiliumSpec, node: SourceNode, reading: Reading): void {
  for (const section of SECTIONS) {
    const rules = node.kind === 'map' ? node.fields.get(section) : undefined;
    if (isAbsent(rules) || rules.kind !== 'list') continue;
    for (const rule of rules.items) {
      for (const field of ['fromRequires', 'toRequires']) {
        const requires = rule.kind === 'map' ? rule.fields.get(field) : undefined;
        if (requires?.kind === 'list' && requires.items.length > 0) {
          reading.error(
            requires,
            'feature.removed',
            `${field} was removed in Cilium 1.19: put the requirement into the selectors of every rule, or deny what does not meet it.`,
          );
        }
      }
    }
  }
}
