import { createPolicySet, recommend, simulate, workloadLabels, type ClusterFacts, type FlowEnd, type Protocol, type RecordedFlow } from '@palisade/policy';
import { parsePolicies } from '@palisade/policy-language';
import { describe, expect, test } from 'vitest';

const workload = (namespace: string, app: string, i: number, node: string) => ({
  fact: { key: `pod/${namespace}/${app}`, namespace, name: app, identity: 1000 + i, network: 'default', addresses: [`10.0.0.${i + 1}`], node },
  identity: { id: 1000 + i, labels: workloadLabels({ clusterName: 'default', namespace, namespaceLabels: { 'kubernetes.io/metadata.name': namespace }, labels: { app, 'pod-template-hash': `h${i}`, tier: 'x' } }) },
});
const made = [workload('shop', 'web', 0, 'n1'), workload('shop', 'db', 1, 'n2'), workload('kube-system', 'dns', 2, 'n1'), workload('shop', 'idle', 3, 'n1')];
const facts: ClusterFacts = {
  clusterName: 'default',
  identityRevision: 12,
  identities: made.map(({ identity }) => identity),
  workloads: made.map(({ fact }) => fact),
  nodes: [{ name: 'n1', labels: {}, addresses: ['172.18.0.2'] }, { name: 'n2', labels: {}, addresses: ['172.18.0.3'] }],
  services: [],
  cidrGroups: [],
  hostFirewall: false,
};

const web: FlowEnd = { workload: 'pod/shop/web' };
const db: FlowEnd = { workload: 'pod/shop/db' };
const dns: FlowEnd = { workload: 'pod/kube-system/dns' };
/** The connection as both of its ends saw it. */
const seen = (source: FlowEnd, destination: FlowEnd, protocol: Protocol, port: number): RecordedFlow[] =>
  (['egress', 'ingress'] as const).map((direction) => ({ flow: { source, destination, protocol, ...(protocol === 'ICMP' ? { icmpType: port } : { port }) }, verdict: 'allow', direction, weight: 1 }));

const observed = [
  ...seen(web, db, 'TCP', 5432),
  ...seen(web, db, 'ICMP', 8),
  ...seen(web, dns, 'UDP', 53),
  ...seen(web, { address: '203.0.113.9', names: ['api.example.com'] }, 'TCP', 443),
  ...seen(web, { address: '198.51.100.4' }, 'TCP', 25),
  ...seen({ address: '198.51.100.77' }, web, 'TCP', 8080),
  ...seen({ node: 'n2' }, web, 'TCP', 8080),
];

describe('recommended policies', () => {
  const recommendations = recommend(observed, facts);
  const parsed = parsePolicies(recommendations.map(({ manifest }) => JSON.stringify(manifest)).join('\n---\n'));
  const candidate = createPolicySet(parsed.documents);

  test('are accepted by the parser as they are', () => {
    expect(parsed.problems).toEqual([]);
    expect(recommendations.map(({ manifest }) => `${manifest.metadata.namespace}/${manifest.metadata.name}`)).toEqual(['kube-system/observed-dns', 'shop/observed-db', 'shop/observed-web']);
  });

  test('allow everything that was observed', () => {
    expect(simulate(candidate, facts, observed).changes).toEqual([]);
  });

  test('deny what was not: other ports, other peers, other directions', () => {
    const others = [
      ...seen(web, db, 'TCP', 5433),
      ...seen({ workload: 'pod/shop/idle' }, db, 'TCP', 5432).slice(1),
      ...seen(db, web, 'TCP', 8080),
      ...seen(web, { address: '203.0.113.10' }, 'TCP', 443).slice(0, 1),
      ...seen({ address: '198.51.100.78' }, web, 'TCP', 8080).slice(1),
    ];
    expect(simulate(candidate, facts, others).changes.map(({ after }) => after)).toEqual(others.map(() => 'deny'));
  });

  test('select by the labels people give, never by those of one rollout', () => {
    expect(recommendations.every(({ manifest }) => JSON.stringify(Object.keys(manifest.spec.endpointSelector.matchLabels)) === '["k8s:app"]')).toBe(true);
  });

  test('say so where a rule is wider than what was seen', () => {
    const crowd = Array.from({ length: 30 }, (_, i) => seen({ address: `198.51.100.${i + 100}` }, web, 'TCP', 443)[1]).filter((flow) => flow !== undefined);
    const [one] = recommend(crowd, facts, { directions: ['ingress'] });
    expect(one?.manifest.spec.ingress).toEqual([{ fromEntities: ['world'], toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }] }] }]);
    expect(one?.notes).toHaveLength(1);
    expect(one?.manifest.spec.egress).toBeUndefined();
  });

  test('ignore flows that were dropped', () => {
    expect(recommend(observed.map((flow) => ({ ...flow, verdict: 'deny' as const })), facts)).toEqual([]);
  });
});
