import { createPolicySet, PolicyEngine, type FlowQuery, type FlowVerdict } from '@palisade/policy';
import { parsePolicies } from '@palisade/policy-language';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { CaseCluster, CaseFlow } from './case-file.ts';
import { clusterFacts, flowQuery } from './cluster-facts.ts';

// Laws that hold for every set of policies: what a change of policies may and may not do to verdicts.
const RUNS = { seed: 20_261_122, numRuns: 50 } as const;

const cluster: CaseCluster = {
  namespaces: [
    { name: 'a', labels: { 'kubernetes.io/metadata.name': 'a', team: 'red' } },
    { name: 'b', labels: { 'kubernetes.io/metadata.name': 'b' } },
  ],
  nodes: [{ name: 'n1', labels: { role: 'edge' }, ips: ['192.168.0.1'] }],
  workloads: [
    { namespace: 'a', name: 'x', labels: { app: 'x' }, ips: ['10.0.0.1'], node: 'n1', namedPorts: { http: { port: 80, protocol: 'TCP' } } },
    { namespace: 'a', name: 'y', labels: { app: 'y' }, ips: ['10.0.0.2'], node: 'n1' },
    { namespace: 'b', name: 'x', labels: { app: 'x' }, ips: ['10.0.1.1'], node: 'n2' },
  ],
};
const facts = clusterFacts(cluster);

const ends: CaseFlow['from'][] = ['a/x', 'a/y', 'b/x', { ip: '10.0.9.9' }, { ip: '2001:db8::1' }, { node: 'n1' }];
const traffic: Omit<CaseFlow, 'from' | 'to'>[] = [
  { protocol: 'TCP', port: 80 },
  { protocol: 'TCP', port: 81 },
  { protocol: 'UDP', port: 80 },
  { protocol: 'ICMP', icmp: { type: 8 } },
];
const flows: FlowQuery[] = ends.flatMap((from) => ends.flatMap((to) => traffic.map((one) => flowQuery({ from, to, ...one }))));

function verdicts(policies: readonly object[]): FlowVerdict[] {
  const { documents, problems } = parsePolicies(policies.map((policy) => JSON.stringify(policy)).join('\n---\n'));
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  const engine = new PolicyEngine(createPolicySet(documents), facts);
  return flows.map((flow) => engine.verdict(flow).verdict);
}

const app = fc.constantFrom('x', 'y');
const labels = app.map((value) => ({ matchLabels: { app: value } }));
const selector = fc.oneof(
  labels,
  fc.constant({}),
  app.map((value) => ({ matchExpressions: [{ key: 'app', operator: 'NotIn', values: [value] }] })),
);
const namespace = fc.constantFrom('a', 'b');

const npPeer = fc.oneof(
  selector.map((podSelector) => ({ podSelector })),
  selector.map((podSelector) => ({ podSelector, namespaceSelector: { matchLabels: { team: 'red' } } })),
  fc.constant({ namespaceSelector: {} }),
  fc.constantFrom('10.0.0.0/24', '10.0.0.0/8', '::/0').map((cidr) => ({ ipBlock: { cidr } })),
);
const npPort = fc.constantFrom({ port: 80 }, { port: 80, endPort: 81 }, { port: 'http' }, { protocol: 'UDP' });
const npRule = fc.record({ from: fc.array(npPeer, { maxLength: 3 }), ports: fc.array(npPort, { maxLength: 2 }) }, { requiredKeys: [] });
const npSpec = fc.record({ podSelector: selector, ingress: fc.array(npRule, { maxLength: 3 }) });
const networkPolicy = (name: string, ns: string, spec: object) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name, namespace: ns },
  spec,
});

const cnpPeers = fc.oneof(
  fc.array(selector, { maxLength: 2 }).map((fromEndpoints) => ({ fromEndpoints })),
  fc.subarray(['world', 'host', 'cluster', 'all']).map((fromEntities) => ({ fromEntities })),
  fc.subarray(['10.0.0.0/8', '2001:db8::/32']).map((fromCIDR) => ({ fromCIDR })),
  fc.constant({}),
);
const cnpPorts = fc.oneof(
  fc.constant({}),
  fc.constantFrom('0', '80', 'http').map((port) => ({ toPorts: [{ ports: [{ port, protocol: 'TCP' }] }] })),
  fc.constant({ icmps: [{ fields: [{ type: 8 }] }] }),
);
const cnpRule = fc.tuple(cnpPeers, cnpPorts).map(([peers, ports]) => ({ ...peers, ...ports }));
const cnpSpec = fc.record({
  endpointSelector: selector,
  ingress: fc.array(cnpRule, { minLength: 1, maxLength: 3 }),
  ingressDeny: fc.array(cnpRule, { maxLength: 1 }),
});
const ciliumPolicy = (name: string, ns: string, spec: object) => ({
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNetworkPolicy',
  metadata: { name, namespace: ns },
  spec,
});

const anySet = fc
  .array(
    fc.oneof(
      fc.tuple(namespace, npSpec).map(([ns, spec]) => ({ np: true, ns, spec })),
      fc.tuple(namespace, cnpSpec).map(([ns, spec]) => ({ np: false, ns, spec })),
    ),
    { maxLength: 4 },
  )
  .map((list) => list.map(({ np, ns, spec }, i) => (np ? networkPolicy(`p${i}`, ns, spec) : ciliumPolicy(`p${i}`, ns, spec))));

describe('laws of policy sets', { timeout: 180_000 }, () => {
  test('the order of policies does not matter', () => {
    fc.assert(
      fc.property(anySet, (set) => {
        expect(verdicts(set.toReversed())).toEqual(verdicts(set));
      }),
      RUNS,
    );
  });

  test('a NetworkPolicy says the same with one rule for each pair of peer and port', () => {
    const split = ({ from = [], ports = [] }: { from?: object[]; ports?: object[] }) =>
      (from.length === 0 ? [undefined] : from).flatMap((peer) =>
        (ports.length === 0 ? [undefined] : ports).map((port) => ({
          ...(peer === undefined ? {} : { from: [peer] }),
          ...(port === undefined ? {} : { ports: [port] }),
        })),
      );
    fc.assert(
      fc.property(npSpec, (spec) => {
        const whole = networkPolicy('p', 'a', spec);
        expect(verdicts([{ ...whole, spec: { ...spec, ingress: spec.ingress.flatMap(split) } }])).toEqual(verdicts([whole]));
      }),
      RUNS,
    );
  });

  test('a NetworkPolicy says the same as one policy for each of its rules', () => {
    fc.assert(
      fc.property(npSpec, (spec) => {
        const each = spec.ingress.map((rule, i) => networkPolicy(`p${i}`, 'a', { ...spec, ingress: [rule] }));
        expect(verdicts([...each, networkPolicy('p', 'a', { ...spec, ingress: [] })])).toEqual(verdicts([networkPolicy('p', 'a', spec)]));
      }),
      RUNS,
    );
  });

  test('adding a rule to a NetworkPolicy never closes anything', () => {
    fc.assert(
      fc.property(anySet, npSpec, npRule, (set, spec, rule) => {
        const before = verdicts([...set, networkPolicy('more', 'a', spec)]);
        const after = verdicts([...set, networkPolicy('more', 'a', { ...spec, ingress: [...spec.ingress, rule] })]);
        expect(after.filter((verdict, i) => verdict === 'deny' && before[i] === 'allow')).toEqual([]);
      }),
      RUNS,
    );
  });

  test('a Cilium deny rule never opens anything, even where it brings its own policy', () => {
    fc.assert(
      fc.property(anySet, selector, cnpRule, (set, endpointSelector, rule) => {
        const before = verdicts(set);
        const after = verdicts([...set, ciliumPolicy('deny', 'a', { endpointSelector, ingressDeny: [rule] })]);
        expect(after.filter((verdict, i) => verdict === 'allow' && before[i] === 'deny')).toEqual([]);
      }),
      RUNS,
    );
  });

  test('a Cilium rule without default deny never closes anything by allowing', () => {
    fc.assert(
      fc.property(anySet, selector, cnpRule, (set, endpointSelector, rule) => {
        const before = verdicts(set);
        const after = verdicts([...set, ciliumPolicy('more', 'a', { endpointSelector, enableDefaultDeny: { ingress: false }, ingress: [rule] })]);
        expect(after.filter((verdict, i) => verdict === 'deny' && before[i] === 'allow')).toEqual([]);
      }),
      RUNS,
    );
  });

  test('an Admin Accept or Deny for everybody decides alone, and a Pass changes nothing', () => {
    const admin = (action: string) => ({
      apiVersion: 'policy.networking.k8s.io/v1alpha2',
      kind: 'ClusterNetworkPolicy',
      metadata: { name: 'all' },
      spec: { tier: 'Admin', priority: 0, subject: { namespaces: {} }, ingress: [{ action, from: [{ namespaces: {} }] }] },
    });
    const between = flows.map(
      ({ source, destination }) => 'workload' in source && 'workload' in destination && source.workload !== destination.workload,
    );
    const only = (all: readonly FlowVerdict[]) => new Set(all.filter((_, i) => between[i]));
    fc.assert(
      fc.property(anySet, (set) => {
        expect(only(verdicts([...set, admin('Accept')]))).toEqual(new Set(['allow']));
        expect(only(verdicts([...set, admin('Deny')]))).toEqual(new Set(['deny']));
        expect(verdicts([...set, admin('Pass')])).toEqual(verdicts(set));
      }),
      RUNS,
    );
  });
});
