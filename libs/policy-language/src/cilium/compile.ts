/** Cilium specs to IR (rules 31–54). */

import {
  CLUSTER_KEY,
  NAMESPACE_KEY,
  NAMESPACE_LABELS_PREFIX,
  type Direction,
  type L7Clause,
  type L7Mode,
  type LabelRequirement,
  type LabelSelector,
  type Peer,
  type PortClause,
  type PortMatch,
  type PolicyRule,
} from '@palisade/policy';
import { inNamespace } from '../kubernetes/pod-selectors.ts';
import type { BlockDraft, RuleDraft } from '../policy-draft.ts';
import type { Requires } from './legacy-requires.ts';
import type { PortRuleSpec } from './l7-schema.ts';
import type { CidrSpec, PeerFields, ServiceSpec } from './peers-schema.ts';
import type { CiliumSpec, RuleSpec } from './schema.ts';

/** What the rules of one spec have in common. */
interface SpecContext {
  /** Absent: clusterwide. */
  readonly namespace: string | undefined;
  /** The spec is about initializing pods, which have no namespace label to bind selectors to. */
  readonly selectsInit: boolean;
  readonly l7: L7Mode;
  readonly log: string | undefined;
}

export function compileCiliumSpec(index: number, spec: CiliumSpec, namespace: string | undefined, l7: L7Mode): BlockDraft[] {
  const subject = subjectOf(spec, namespace);
  const context: SpecContext = { namespace, l7, selectsInit: mentions(subject.selector.requirements, 'reserved:init'), log: spec.log?.value };
  const base = { spec: index, tier: 'normal', priority: 0, subject } as const;
  const block = (direction: Direction, allows: readonly RuleSpec[] = [], denies: readonly RuleSpec[] = []): BlockDraft[] => {
    if (allows.length + denies.length === 0) return [];
    const rules = [
      ...allows.map((rule, i) => compileRule(rule, direction, 'allow', i, context)),
      ...denies.map((rule, i) => compileRule(rule, `${direction}Deny`, 'deny', i, context)),
    ];
    return [{ ...base, direction, isolates: spec.enableDefaultDeny?.[direction] !== false, rules }];
  };
  return [...block('ingress', spec.ingress, spec.ingressDeny), ...block('egress', spec.egress, spec.egressDeny)];
}

/** What a spec demands by `fromRequires` and `toRequires` (legacy, rule 47). */
export function requiresOf(spec: CiliumSpec, namespace: string | undefined): Requires[] {
  const subject = subjectOf(spec, namespace).selector.requirements;
  const context: SpecContext = { namespace, l7: 'hard', log: undefined, selectsInit: false };
  const demanded = (direction: Direction, rules: readonly RuleSpec[]): Requires[] => {
    const requirements = rules.flatMap(({ peers }) => peers.requires ?? []).flatMap((selector) => boundSelector(selector, context).requirements);
    return requirements.length === 0 ? [] : [{ direction, subject, requirements }];
  };
  return [
    ...demanded('ingress', [...(spec.ingress ?? []), ...(spec.ingressDeny ?? [])]),
    ...demanded('egress', [...(spec.egress ?? []), ...(spec.egressDeny ?? [])]),
  ];
}

/**
 * A CiliumNetworkPolicy stays in its namespace: a namespace among its matchLabels is replaced (rule 31), any other way
 * of asking for one stays and contradicts.
 */
function subjectOf(spec: CiliumSpec, namespace: string | undefined): BlockDraft['subject'] {
  if (spec.endpointSelector === undefined) return { kind: 'nodes', selector: { requirements: spec.nodeSelector ?? [], localCluster: false } };
  const { labels, expressions } = spec.endpointSelector;
  const own = namespace === undefined ? labels : [inNamespace(namespace), ...labels.filter(({ key }) => key !== `k8s:${NAMESPACE_KEY}`)];
  return { kind: 'endpoints', selector: { requirements: [...own, ...expressions], localCluster: false } };
}

function compileRule(rule: RuleSpec, section: PolicyRule['section'], action: 'allow' | 'deny', index: number, context: SpecContext): RuleDraft {
  const restrictsPorts = (rule.toPorts ?? []).length > 0 || (rule.icmps ?? []).length > 0;
  const ports = clausesOf(rule, restrictsPorts, context);
  return {
    index,
    section,
    action,
    peers: peersOf(rule.peers, restrictsPorts, context),
    ports: rule.authentication ? ports.map((clause) => ({ ...clause, l7: { kind: 'unsupported', feature: 'authentication' } })) : ports,
    ...(context.log === undefined || context.log === '' ? {} : { log: context.log }),
  };
}

/** Rule 35: no peer field with ports means anybody, no peer field and no ports nobody; an empty field selects nothing. */
function peersOf(fields: PeerFields, restrictsPorts: boolean, context: SpecContext): Peer[] {
  const { requires: own, ...named } = fields;
  const present = Object.values(named).some((field) => field !== undefined);
  if (!present) return restrictsPorts && (own ?? []).length === 0 ? [{ kind: 'any' }] : [];
  return [
    ...(fields.endpoints ?? []).map((selector): Peer => ({ kind: 'endpoints', selector: boundSelector(selector, context) })),
    ...(fields.entities ?? []).map((entity): Peer => ({ kind: 'entity', entity })),
    ...(fields.cidrs ?? []).map(cidrPeer),
    ...(fields.nodes ?? []).map((requirements): Peer => ({ kind: 'nodes', scope: 'remote', selector: { requirements, localCluster: false } })),
    ...(fields.groups ?? []).map(({ requirements }): Peer => ({ kind: 'endpoints', selector: { requirements, localCluster: false } })),
    ...(fields.services ?? []).map((service) => servicePeer(service, context.namespace)),
    ...(fields.fqdns ?? []).map((name): Peer => ({ kind: 'fqdn', name })),
  ];
}

function cidrPeer(spec: CidrSpec): Peer {
  switch (spec.kind) {
    case 'cidr':
      return { kind: 'cidr', cidr: spec.cidr, except: spec.except, matchesPods: false };
    case 'group':
      return { kind: 'cidr-group', name: spec.name, except: spec.except };
    case 'groups':
      return { kind: 'cidr-group-selector', selector: { requirements: spec.labels, localCluster: false }, except: spec.except };
  }
}

/** A named service without a namespace is one of the policy's own; a selector without one asks everywhere. */
function servicePeer({ name, namespace, labels }: ServiceSpec, policyNamespace: string | undefined): Peer {
  const own = namespace ?? (name === undefined ? undefined : policyNamespace);
  const where = own === undefined ? {} : { namespace: own };
  if (name !== undefined) return { kind: 'service', ...where, name };
  return { kind: 'service-selector', ...where, selector: { requirements: labels ?? [], localCluster: false } };
}

/** Rule 33. */
function boundSelector(requirements: readonly LabelRequirement[], { namespace, selectsInit }: SpecContext): LabelSelector {
  if (requirements.some(({ key }) => key.startsWith('reserved:'))) return { requirements, localCluster: false };
  if (isForeign(requirements)) return { requirements, localCluster: false };
  const localCluster = !mentions(requirements, CLUSTER_KEY);
  if (mentions(requirements, NAMESPACE_KEY)) return { requirements, localCluster };
  if (namespace === undefined) {
    const managed: LabelRequirement[] = selectsInit ? [] : [{ key: `k8s:${NAMESPACE_KEY}`, operator: 'exists', values: [] }];
    return { requirements: [...managed, ...requirements], localCluster };
  }
  const byNamespaceLabel = requirements.some(({ key }) => bare(key).startsWith(NAMESPACE_LABELS_PREFIX) && /^(k8s|any):/.test(key));
  return { requirements: byNamespaceLabel ? requirements : [inNamespace(namespace), ...requirements], localCluster };
}

/** Machines of clouds and hosts live in no namespace and no cluster: a selector of nothing but their labels is not bound. */
function isForeign(requirements: readonly LabelRequirement[]): boolean {
  return requirements.length > 0 && requirements.every(({ key }) => /^(cloud|tag|host):/.test(key));
}

function mentions(requirements: readonly LabelRequirement[], key: string): boolean {
  const wanted = key.includes(':') ? [key] : [`k8s:${key}`, `any:${key}`];
  return requirements.some((requirement) => wanted.includes(requirement.key));
}

function bare(key: string): string {
  return key.slice(key.indexOf(':') + 1);
}

/** `toPorts: []` and no ports mean every port; a port entry without ports means none (rule 35). */
function clausesOf(rule: RuleSpec, restrictsPorts: boolean, context: SpecContext): PortClause[] {
  if (!restrictsPorts) return [{ ports: [{ kind: 'any' }] }];
  const icmp = (rule.icmps ?? []).map(({ fields = [] }): PortClause => ({ ports: fields }));
  return [...(rule.toPorts ?? []).map((entry) => portClause(entry, context.l7)), ...icmp];
}

function portClause({ ports = [], rules, unsupported }: PortRuleSpec, mode: L7Mode): PortClause {
  const matches: PortMatch[] = ports.flatMap((port) => port.matches);
  const l7 = l7Clause(rules, unsupported, mode);
  return { ports: matches, ...(l7 === undefined ? {} : { l7 }) };
}

/** An empty list of content rules is no content rule (rule 50). */
function l7Clause(rules: PortRuleSpec['rules'], unsupported: string | undefined, mode: L7Mode): L7Clause | undefined {
  if (unsupported !== undefined) return { kind: 'unsupported', feature: unsupported };
  if (rules?.http !== undefined && rules.http.length > 0) return { kind: 'http', mode, rules: rules.http };
  if (rules?.dns !== undefined && rules.dns.length > 0) return { kind: 'dns', mode, names: rules.dns };
  return undefined;
}
