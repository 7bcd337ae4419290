import { createPolicySet, LookupTables, PolicyEngine, PROTOCOL_NUMBER, resolveNode, workloadLabels, type ClusterFacts, type FlowEnd } from '@palisade/policy';
import { parsePolicies } from '@palisade/policy-language';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const NAMESPACES = ['x', 'y'];
const APPS = ['a', 'b', 'c'];
const workloads = NAMESPACES.flatMap((namespace, n) => APPS.map((app, i) => ({ namespace, app, id: 1000 + n * 10 + i, address: `10.0.${n}.${i + 1}`, node: i === 0 ? 'n2' : 'n1' })));
const facts: ClusterFacts = {
  clusterName: 'default',
  identityRevision: 1,
  identities: workloads.map(({ id, namespace, app }) => ({ id, labels: workloadLabels({ clusterName: 'default', namespace, namespaceLabels: { 'kubernetes.io/metadata.name': namespace, team: namespace }, labels: { app } }) })),
  workloads: workloads.map(({ namespace, app, id, address, node }) => ({ key: `${namespace}/${app}`, namespace, name: app, identity: id, network: 'default', addresses: [address], node, namedPorts: { web: { port: app === 'a' ? 80 : 8080, protocol: 'TCP' } } })),
  nodes: ['n1', 'n2'].map((name, i) => ({ name, labels: { zone: `z${i}` }, addresses: [`172.18.0.${i + 2}`] })),
  services: [],
  cidrGroups: [],
  hostFirewall: false,
};

const labels = fc.option(fc.record({ app: fc.constantFrom(...APPS) }), { nil: undefined });
const labelSelector = labels.map((matchLabels) => (matchLabels === undefined ? {} : { matchLabels }));
const portNumber = fc.constantFrom(80, 443, 8080);

/** networking.k8s.io/v1 */
const networkPolicy = fc.record({
  kind: fc.constant('NetworkPolicy'),
  apiVersion: fc.constant('networking.k8s.io/v1'),
  spec: fc.record({
    podSelector: labelSelector,
    policyTypes: fc.subarray(['Ingress', 'Egress'], { minLength: 1 }),
    ingress: fc.array(rule('from'), { maxLength: 2 }),
    egress: fc.array(rule('to'), { maxLength: 2 }),
  }),
});

function rule(side: 'from' | 'to'): fc.Arbitrary<object> {
  const peer = fc.oneof(
    fc.record({ podSelector: labelSelector }),
    fc.record({ namespaceSelector: fc.constantFrom({}, { matchLabels: { team: 'y' } }), podSelector: labelSelector }),
    fc.constantFrom({ ipBlock: { cidr: '10.0.0.0/16', except: ['10.0.1.0/24'] } }, { ipBlock: { cidr: '0.0.0.0/0' } }, { ipBlock: { cidr: '203.0.113.0/24' } }),
  );
  const port = fc.oneof(portNumber.map((number) => ({ port: number })), fc.constant({ port: 'web' }), fc.constant({ protocol: 'UDP' }), fc.constant({ port: 79, endPort: 8080 }));
  return fc.record({ [side]: fc.array(peer, { minLength: 1, maxLength: 2 }), ports: fc.array(port, { minLength: 1, maxLength: 2 }) }, { requiredKeys: [] });
}

/** cilium.io/v2 */
const ciliumRule = (inbound: boolean): fc.Arbitrary<object> => {
  const side = inbound ? 'from' : 'to';
  const peers = fc.oneof(
    fc.array(labelSelector, { maxLength: 2 }).map((selectors) => ({ [`${side}Endpoints`]: selectors })),
    fc.constantFrom('world', 'host', 'cluster', 'remote-node', 'all').map((entity) => ({ [`${side}Entities`]: [entity] })),
    fc.constant({ [`${side}CIDRSet`]: [{ cidr: '203.0.113.0/24', except: ['203.0.113.128/25'] }] }),
    fc.constant({}),
  );
  const ports = fc.option(fc.array(fc.record({ port: portNumber.map(String), protocol: fc.constantFrom('TCP', 'UDP', 'ANY') }), { minLength: 1, maxLength: 2 }), { nil: undefined });
  return fc.tuple(peers, ports).map(([peer, list]) => ({ ...peer, ...(list === undefined ? {} : { toPorts: [{ ports: list }] }) }));
};
const ciliumPolicy = fc.record({
  kind: fc.constant('CiliumNetworkPolicy'),
  apiVersion: fc.constant('cilium.io/v2'),
  spec: fc.record(
    { endpointSelector: labelSelector, ingress: fc.array(ciliumRule(true), { maxLength: 2 }), ingressDeny: fc.array(ciliumRule(true), { maxLength: 1 }), egress: fc.array(ciliumRule(false), { maxLength: 2 }), enableDefaultDeny: fc.constantFrom({ ingress: false }, { egress: true }) },
    { requiredKeys: ['endpointSelector', 'ingress'] },
  ),
});

/** policy.networking.k8s.io/v1alpha2 */
const clusterRule = (side: 'from' | 'to'): fc.Arbitrary<object> =>
  fc.record({
    action: fc.constantFrom('Accept', 'Deny', 'Pass'),
    [side]: fc.array(fc.oneof(fc.constantFrom({ namespaces: {} }, { namespaces: { matchLabels: { team: 'x' } } }), labelSelector.map((podSelector) => ({ pods: { namespaceSelector: {}, podSelector } }))), { minLength: 1, maxLength: 2 }),
    protocols: fc.array(portNumber.map((number) => ({ tcp: { destinationPort: { number } } })), { minLength: 1, maxLength: 2 }),
  }, { requiredKeys: ['action', side] });
const clusterPolicy = fc.record({
  kind: fc.constant('ClusterNetworkPolicy'),
  apiVersion: fc.constant('policy.networking.k8s.io/v1alpha2'),
  spec: fc.record({ tier: fc.constantFrom('Admin', 'Baseline'), priority: fc.constantFrom(1, 2, 3), subject: fc.constantFrom({ namespaces: {} }, { pods: { namespaceSelector: {}, podSelector: { matchLabels: { app: 'b' } } } }), ingress: fc.array(clusterRule('from'), { maxLength: 2 }), egress: fc.array(clusterRule('to'), { maxLength: 2 }) }),
});

const manifests = fc.array(fc.tuple(fc.oneof(networkPolicy, ciliumPolicy, clusterPolicy), fc.constantFrom(...NAMESPACES)), { minLength: 1, maxLength: 4 }).map((list) =>
  list.map(([policy, namespace], i) => ({ ...policy, metadata: { name: `p${i}`, ...(policy.kind === 'ClusterNetworkPolicy' ? {} : { namespace }) } })),
);

const OTHERS: readonly FlowEnd[] = [{ address: '203.0.113.5' }, { address: '203.0.113.200' }, { address: '198.51.100.1' }, { node: 'n1' }, { node: 'n2' }];

describe('generated policies of all three languages', () => {
  test('are judged alike by the evaluator and by the resolved tables, after the parser', { timeout: 60_000 }, () => {
    let given = 0;
    let accepted = 0;
    let compared = 0;
    fc.assert(
      fc.property(manifests, (policies) => {
        const { documents } = parsePolicies(policies.map((policy) => JSON.stringify(policy)).join('\n---\n'), { fromApiServer: true });
        given += policies.length;
        accepted += documents.length;
        const set = createPolicySet(documents);
        const engine = new PolicyEngine(set, facts);
        const node = resolveNode(set, facts, 'n1');
        const tables = new LookupTables(node);
        const peers: FlowEnd[] = [...workloads.map(({ namespace, app }) => ({ workload: `${namespace}/${app}` })), ...OTHERS];
        for (const { key } of node.endpoints) {
          for (const peer of peers) {
            if ('workload' in peer && peer.workload === key) continue;
            for (const [protocol, port] of [['TCP', 80], ['TCP', 443], ['TCP', 8080], ['TCP', 9000], ['UDP', 80]] as const) {
              for (const direction of ['egress', 'ingress'] as const) {
                const own = { workload: key };
                const asked = engine.verdict({ source: direction === 'egress' ? own : peer, destination: direction === 'egress' ? peer : own, protocol, port })[direction];
                const entry = tables.lookup(key, { direction, peerClass: tables.classOf('default', addressOf(peer))?.peerClass ?? -1, protocol: PROTOCOL_NUMBER[protocol], port });
                compared++;
                expect({ key, peer, protocol, port, direction, verdict: entry?.verdict ?? 'allow', rule: entry?.ruleId ?? 0 }).toEqual({ key, peer, protocol, port, direction, verdict: asked.connection, rule: asked.ruleId });
              }
            }
          }
        }
      }),
      { seed: Number(process.env['PALISADE_SEED'] ?? 20261122), numRuns: Number(process.env['PALISADE_RESOLVE_RUNS'] ?? 40) },
    );
    // The parser refuses some on purpose; most must get through or nothing is tested.
    expect(accepted / given).toBeGreaterThan(0.8);
    expect(compared).toBeGreaterThan(10_000);
  });
});

function addressOf(end: FlowEnd): string {
  if ('workload' in end) return facts.workloads.find(({ key }) => key === end.workload)?.addresses[0] ?? '';
  if ('node' in end) return facts.nodes.find(({ name }) => name === end.node)?.addresses[0] ?? '';
  return 'address' in end ? (end.address ?? '') : '';
}
