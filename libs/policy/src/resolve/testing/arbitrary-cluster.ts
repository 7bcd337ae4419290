/** Generated clusters and policies over a small vocabulary, so that most rules meet somebody. For tests only. */

import fc from 'fast-check';
import type { ClusterFacts, NamedPort, WorkloadFact } from '../../facts.ts';
import { IR_VERSION, type Entity, type LabelRequirement, type LabelSelector, type Peer, type PolicyBlock, type PolicyDocument, type PolicyKind, type PolicyRule, type PortClause, type PortMatch, type Tier } from '../../ir.ts';
import { workloadLabels } from '../../labels.ts';
import { createPolicySet, type PolicySet } from '../../policy-set.ts';
import type { FqdnSelector } from '../../resolution.ts';
import { wantedRuleId } from '../../rule-id.ts';

const NAMESPACES = ['shop', 'pay', 'ops'];
const APPS = ['web', 'api', 'db'];
const NODES = ['n1', 'n2'];
const CIDRS = ['0.0.0.0/0', '::/0', '10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '203.0.113.0/24', '203.0.113.128/25', '203.0.113.7/32', '192.168.0.0/16', '2001:db8::/32', '2001:db8:1::/48'];
const PORT_NAMES = ['http', 'dns', 'Metrics'];
const FQDNS: readonly FqdnSelector[] = [
  { kind: 'name', value: 'api.example.com' },
  { kind: 'pattern', value: '*.example.com' },
  { kind: 'pattern', value: '**.example.com' },
];
/** Addresses outside the cluster, inside and between the prefixes above. */
export const OUTSIDE = ['198.51.100.1', '203.0.113.1', '203.0.113.7', '203.0.113.200', '192.168.3.4', '10.200.0.1', '10.1.9.9', '2001:db8:ffff::1', '2001:db8:1::5', '2606:4700::1'];
export const NAMES = ['api.example.com', 'www.example.com', 'a.b.example.com', 'example.org'];
export const PORTS = [0, 1, 53, 79, 80, 81, 443, 1024, 8079, 8080, 8081, 9090, 32767, 65535];

const requirement: fc.Arbitrary<LabelRequirement> = fc.oneof(
  fc.record({ key: fc.constantFrom('k8s:app', 'any:app'), operator: fc.constantFrom('in' as const, 'not-in' as const), values: fc.uniqueArray(fc.constantFrom(...APPS), { minLength: 1, maxLength: 2 }) }),
  fc.record({ key: fc.constant('k8s:io.kubernetes.pod.namespace'), operator: fc.constantFrom('in' as const, 'not-in' as const), values: fc.uniqueArray(fc.constantFrom(...NAMESPACES), { minLength: 1, maxLength: 2 }) }),
  fc.record({ key: fc.constantFrom('k8s:tier', 'cloud:region', 'reserved:host', 'reserved:remote-node', 'reserved:world', 'reserved:kube-apiserver'), operator: fc.constantFrom('exists' as const, 'not-exists' as const), values: fc.constant([]) }),
);
const selector: fc.Arbitrary<LabelSelector> = fc.record({ requirements: fc.array(requirement, { maxLength: 2 }), localCluster: fc.boolean() });
const nodeSelector: fc.Arbitrary<LabelSelector> = fc.record({
  requirements: fc.array(fc.record({ key: fc.constantFrom('role', 'zone'), operator: fc.constantFrom('in' as const, 'not-in' as const), values: fc.constantFrom(['a'], ['b'], ['a', 'b']) }), { maxLength: 1 }),
  localCluster: fc.constant(false),
});
const entities: readonly Entity[] = ['all', 'world', 'world-ipv4', 'world-ipv6', 'cluster', 'host', 'remote-node', 'kube-apiserver', 'health', 'init', 'unmanaged', 'ingress', 'none'];
const except = fc.uniqueArray(fc.constantFrom('10.1.2.0/24', '203.0.113.128/25', '2001:db8:1::/48'), { maxLength: 2 });

const peer: fc.Arbitrary<Peer> = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Peer>({ kind: 'any' }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('endpoints' as const), selector }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('entity' as const), entity: fc.constantFrom(...entities) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('cidr' as const), cidr: fc.constantFrom(...CIDRS), except, matchesPods: fc.boolean() }) },
  fc.record({ kind: fc.constant('cidr-group' as const), name: fc.constantFrom('partners', 'missing'), except }),
  fc.record({ kind: fc.constant('cidr-group-selector' as const), selector: fc.constant<LabelSelector>({ requirements: [{ key: 'team', operator: 'exists', values: [] }], localCluster: false }), except }),
  fc.record({ kind: fc.constant('fqdn' as const), name: fc.constantFrom(...FQDNS) }),
  fc.record({ kind: fc.constant('service' as const), namespace: fc.constantFrom(...NAMESPACES), name: fc.constantFrom('svc', 'ext') }),
  fc.record({ kind: fc.constant('service-selector' as const), selector: fc.constant<LabelSelector>({ requirements: [{ key: 'k8s:kind', operator: 'exists', values: [] }], localCluster: false }) }),
  fc.record({ kind: fc.constant('nodes' as const), selector: nodeSelector, scope: fc.constantFrom('remote' as const, 'all' as const) }),
);

const transport = fc.constantFrom('TCP' as const, 'UDP' as const, 'SCTP' as const);
const range = fc.tuple(fc.constantFrom(...PORTS), fc.constantFrom(0, 0, 1, 10, 1000, 65535)).map(([first, width]) => ({ first, last: Math.min(65535, first + width) }));
const portMatch: fc.Arbitrary<PortMatch> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<PortMatch>({ kind: 'any' }) },
  { weight: 6, arbitrary: fc.tuple(transport, range).map(([protocol, { first, last }]) => ({ kind: 'range' as const, protocol, first, last })) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('named' as const), name: fc.constantFrom(...PORT_NAMES), protocols: fc.constantFrom(['TCP' as const], ['UDP' as const], ['TCP' as const, 'UDP' as const, 'SCTP' as const]) }) },
  fc.record({ kind: fc.constant('icmp' as const), protocol: fc.constantFrom('ICMP' as const, 'ICMPv6' as const), type: fc.constantFrom(0, 8, 128) }),
  fc.record({ kind: fc.constant('protocol' as const), number: fc.constantFrom(112, 132, 1) }),
);
const mode = fc.constantFrom('hard' as const, 'soft' as const);
const portClause: fc.Arbitrary<PortClause> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ ports: fc.array(portMatch, { maxLength: 3 }) }) },
  fc.record({ ports: fc.array(portMatch, { minLength: 1, maxLength: 2 }), l7: fc.oneof(
    fc.record({ kind: fc.constant('http' as const), mode, rules: fc.constantFrom([{ method: 'GET' }], [{ path: '/a' }, {}]) }),
    fc.record({ kind: fc.constant('dns' as const), mode, names: fc.subarray([...FQDNS], { minLength: 1 }) }),
    fc.constant({ kind: 'unsupported' as const, feature: 'serverNames' }),
  ) }),
);

type RuleDraft = Omit<PolicyRule, 'id' | 'index' | 'section'>;
const ruleIn = (tier: Tier): fc.Arbitrary<RuleDraft> =>
  fc.record({
    action: tier === 'normal' ? fc.constantFrom('allow' as const, 'allow' as const, 'allow' as const, 'deny' as const) : fc.constantFrom('allow' as const, 'deny' as const, 'pass' as const),
    peers: fc.array(peer, { maxLength: 3 }),
    ports: fc.array(portClause, { minLength: 1, maxLength: 2 }),
  });

const blockDraft = fc.constantFrom<Tier>('admin', 'normal', 'normal', 'normal', 'baseline').chain((tier) =>
  fc.record({
    tier: fc.constant(tier),
    priority: tier === 'normal' ? fc.constant(0) : fc.constantFrom(1, 2, 3),
    direction: fc.constantFrom('ingress' as const, 'egress' as const),
    subject: fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant('endpoints' as const), selector }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('nodes' as const), selector: nodeSelector }) },
    ),
    isolates: tier === 'normal' ? fc.boolean() : fc.constant(false),
    rules: fc.array(ruleIn(tier), { maxLength: 3 }),
  }),
);

const KIND: Readonly<Record<Tier, PolicyKind>> = { admin: 'ClusterNetworkPolicy', normal: 'CiliumClusterwideNetworkPolicy', baseline: 'ClusterNetworkPolicy' };

export const arbitraryPolicy = (name: string): fc.Arbitrary<PolicyDocument> =>
  fc.tuple(fc.array(blockDraft, { minLength: 1, maxLength: 2 }), fc.constantFrom('enforce' as const, 'enforce' as const, 'enforce' as const, 'observe' as const, 'shadow' as const)).map(([drafts, policyMode]) => {
    const kind = KIND[drafts[0]?.tier ?? 'normal'];
    const blocks = drafts.map((draft, spec): PolicyBlock => ({
      ...draft,
      spec,
      rules: draft.rules.map((rule, index): PolicyRule => {
        const section = draft.direction === 'ingress' ? (rule.action === 'deny' ? 'ingressDeny' : 'ingress') : rule.action === 'deny' ? 'egressDeny' : 'egress';
        const content = { ...rule, section } as const;
        return { ...content, index, id: wantedRuleId(`${kind}:${name}`, draft.direction, content, spec * 100 + index) };
      }),
    }));
    return { irVersion: IR_VERSION, kind, name, revision: 1, mode: policyMode, blocks };
  });

export const arbitraryPolicies: fc.Arbitrary<PolicySet> = fc
  .integer({ min: 1, max: 6 })
  .chain((count) => fc.tuple(...Array.from({ length: count }, (_, i) => arbitraryPolicy(`p${i}`))))
  .map((documents) => createPolicySet(documents));

const namedPorts: fc.Arbitrary<Record<string, NamedPort>> = fc.dictionary(
  fc.constantFrom('http', 'dns', 'metrics'),
  fc.record({ port: fc.constantFrom(53, 80, 8080, 9090), protocol: fc.constantFrom('TCP' as const, 'UDP' as const) }),
  { maxKeys: 2 },
);

interface WorkloadDraft {
  namespace: string;
  app: string;
  tier: boolean;
  node: string;
  namedPorts: Record<string, NamedPort>;
  hostNetwork: boolean;
  audit: boolean;
  init: boolean;
  foreign: boolean;
  network: string;
  subnet: number;
}

export const arbitraryWorkload: fc.Arbitrary<WorkloadDraft> = fc.record({
  namespace: fc.constantFrom(...NAMESPACES),
  app: fc.constantFrom(...APPS),
  tier: fc.boolean(),
  node: fc.constantFrom(...NODES),
  namedPorts,
  hostNetwork: fc.nat(9).map((n) => n === 0),
  audit: fc.nat(9).map((n) => n === 0),
  init: fc.nat(19).map((n) => n === 0),
  foreign: fc.nat(9).map((n) => n === 0),
  network: fc.constantFrom('default', 'default', 'default', 'blue'),
  subnet: fc.constantFrom(1, 2),
});

/** Workload `i` with an identity of its own per distinct labels. */
export function workloadFact(draft: WorkloadDraft, i: number): { workload: WorkloadFact; labels: Readonly<Record<string, string>> } {
  const labels = draft.init
    ? { 'reserved:init': '' }
    : workloadLabels({
        clusterName: draft.foreign ? 'elsewhere' : 'default',
        namespace: draft.namespace,
        namespaceLabels: { team: draft.namespace },
        labels: { app: draft.app, ...(draft.tier ? { tier: 'x', 'cloud:region': 'eu' } : {}) },
      });
  const workload: WorkloadFact = {
    key: `pod/${draft.namespace}/w${i}`,
    namespace: draft.namespace,
    name: `w${i}`,
    identity: draft.init ? 5 : 1000 + NAMESPACES.indexOf(draft.namespace) * 100 + APPS.indexOf(draft.app) * 10 + (draft.tier ? 1 : 0) + (draft.foreign ? 2 : 0),
    network: draft.network,
    addresses: draft.hostNetwork ? [`172.18.0.${draft.node === 'n1' ? 2 : 3}`] : [`10.1.${draft.subnet}.${i + 10}`, `2001:db8:${draft.subnet}::${i + 10}`].slice(0, 1 + (i % 2)),
    node: draft.node,
    namedPorts: draft.namedPorts,
    ...(draft.hostNetwork ? { hostNetwork: true } : {}),
    ...(draft.audit ? { policyAuditMode: true } : {}),
  };
  return { workload, labels };
}

export const arbitraryFacts: fc.Arbitrary<ClusterFacts> = fc
  .record({
    drafts: fc.array(arbitraryWorkload, { minLength: 2, maxLength: 8 }),
    hostFirewall: fc.boolean(),
    auditAll: fc.nat(9).map((n) => n === 0),
    enforcement: fc.constantFrom('default' as const, 'default' as const, 'default' as const, 'default' as const, 'always' as const, 'never' as const),
    apiserver: fc.constantFrom('172.18.0.3', '203.0.113.7', '10.1.1.10'),
  })
  .map(({ drafts, hostFirewall, auditAll, enforcement, apiserver }) => {
    const made = drafts.map(workloadFact);
    const identities = new Map(made.map(({ workload, labels }) => [workload.identity, labels]));
    return {
      clusterName: 'default',
      identityRevision: 1,
      identities: [...identities].map(([id, labels]) => ({ id, labels })),
      workloads: made.map(({ workload }) => workload),
      nodes: [
        { name: 'n1', labels: { role: 'a', zone: 'a' }, addresses: ['172.18.0.2'] },
        { name: 'n2', labels: { role: 'b' }, addresses: ['172.18.0.3', '2001:db8:9::3'] },
      ],
      services: [
        { namespace: 'shop', name: 'svc', labels: { kind: 'x' }, selector: { app: 'web' } },
        { namespace: 'pay', name: 'svc', labels: {}, selector: { 'k8s:app': 'api' } },
        { namespace: 'shop', name: 'ext', labels: { kind: 'y' }, endpointAddresses: ['203.0.113.200', '10.1.1.10'] },
      ],
      cidrGroups: [{ name: 'partners', labels: { team: 'b2b' }, cidrs: ['192.168.0.0/16', '203.0.113.0/24'] }],
      hostFirewall,
      reserved: [
        { key: 'health/n2', entity: 'health' as const, network: 'default', addresses: ['10.1.8.8'], node: 'n2' },
        { key: 'unmanaged/x', entity: 'unmanaged' as const, network: 'default', addresses: ['10.1.8.9'] },
        { key: 'api', entity: 'kube-apiserver' as const, network: 'default', addresses: [apiserver] },
      ],
      settings: { policyAuditMode: auditAll, enforcement },
    };
  });
