import { decodePolicySet, createPolicySet, PolicyEngine, type ClusterFacts } from '@palisade/policy';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parsePolicies, parsePolicyValues } from './parse-policies.ts';

// Seeded and bounded: the same inputs on every run, a few seconds in all.
const RUNS = { seed: 20_261_122, numRuns: 400 } as const;

const facts: ClusterFacts = {
  clusterName: 'c',
  identityRevision: 1,
  identities: [],
  workloads: [],
  nodes: [],
  services: [],
  cidrGroups: [],
  hostFirewall: true,
};

/** Words of the policy languages, so that random objects get deep into the schemas. */
const field = fc.constantFrom(
  'matchLabels',
  'matchExpressions',
  'key',
  'operator',
  'values',
  'ingress',
  'egress',
  'ingressDeny',
  'egressDeny',
  'from',
  'to',
  'ports',
  'port',
  'protocol',
  'endPort',
  'podSelector',
  'namespaceSelector',
  'ipBlock',
  'cidr',
  'except',
  'policyTypes',
  'fromEndpoints',
  'toEndpoints',
  'fromEntities',
  'toCIDRSet',
  'toPorts',
  'rules',
  'http',
  'dns',
  'path',
  'headers',
  'icmps',
  'fields',
  'type',
  'family',
  'toFQDNs',
  'matchName',
  'matchPattern',
  'endpointSelector',
  'nodeSelector',
  'tier',
  'priority',
  'subject',
  'namespaces',
  'pods',
  'networks',
  'action',
  'protocols',
  '__proto__',
  'constructor',
  'toString',
);
const scalar = fc.oneof(
  fc.constantFrom(
    'TCP',
    'In',
    'Exists',
    'world',
    '80',
    'http',
    '10.0.0.0/8',
    '::/0',
    '*.example',
    '**',
    'Admin',
    'Deny',
    'Ingress',
    '',
    'a',
    '(',
    '[a-z]+',
    'IPv6',
    null,
    true,
    0,
    80,
    -1,
    65_536,
    1.5,
  ),
  fc.string({ maxLength: 12 }),
  fc.integer(),
);
const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.dictionary(field, tie('tree'), { maxKeys: 5, noNullPrototype: true }),
  ),
}));

const kinds = fc.constantFrom(
  ['networking.k8s.io/v1', 'NetworkPolicy'],
  ['cilium.io/v2', 'CiliumNetworkPolicy'],
  ['cilium.io/v2', 'CiliumClusterwideNetworkPolicy'],
  ['policy.networking.k8s.io/v1alpha2', 'ClusterNetworkPolicy'],
  ['cilium.io/v2', 'CiliumCIDRGroup'],
);
const wildObject = fc
  .record({ kind: kinds, spec: tree })
  .map(({ kind: [apiVersion, kind], spec }) => ({ apiVersion, kind, metadata: { name: 'p' }, spec }));

/** Objects that are mostly valid, with pieces replaced by random trees. */
const selector = fc.oneof(
  fc.constant({}),
  fc.record({
    matchLabels: fc.dictionary(fc.constantFrom('app', 'k8s:app', 'any:tier', 'reserved:host', 'cloud:region'), fc.constantFrom('web', 'db', '')),
  }),
  fc.record({
    matchExpressions: fc.array(
      fc.record({ key: fc.constantFrom('app', 'io.kubernetes.pod.namespace'), operator: fc.constantFrom('Exists', 'DoesNotExist') }),
      { maxLength: 2 },
    ),
  }),
);
const toPorts = fc.array(
  fc.record(
    {
      ports: fc.array(fc.record({ port: fc.constantFrom('0', '80', 'http', '65535'), protocol: fc.constantFrom('TCP', 'UDP', 'ANY') }), {
        maxLength: 2,
      }),
    },
    { requiredKeys: [] },
  ),
  { maxLength: 2 },
);
const ciliumRule = fc.oneof(
  fc.record({ fromEndpoints: fc.array(selector, { maxLength: 2 }), toPorts }, { requiredKeys: [] }),
  fc.record({ fromEntities: fc.subarray(['all', 'world', 'host', 'cluster', 'none']), toPorts }, { requiredKeys: [] }),
  fc.record({
    fromCIDRSet: fc.array(fc.record({ cidr: fc.constantFrom('10.0.0.0/8', '::/0'), except: fc.subarray(['10.1.0.0/16', '2001:db8::/32']) })),
  }),
  tree,
);
const ciliumPolicy = fc.record(
  { endpointSelector: selector, ingress: fc.array(ciliumRule, { maxLength: 3 }), egressDeny: fc.array(fc.record({ toPorts }), { maxLength: 1 }) },
  { requiredKeys: ['endpointSelector'] },
);
const tameObject = ciliumPolicy.map((spec) => ({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: 'p' }, spec }));

const objects = fc.oneof(wildObject, tameObject);

function expectHarmless(): void {
  expect(Object.keys(Object.prototype)).toEqual([]);
}

describe('the parser under generated input', { timeout: 180_000 }, () => {
  test('takes or refuses any object, with a place for every problem', () => {
    fc.assert(
      fc.property(objects, (value) => {
        const text = JSON.stringify(value);
        const { documents, cidrGroups, problems } = parsePolicies(text);
        const errors = problems.filter(({ severity }) => severity === 'error');
        expect(documents.length + cidrGroups.length).toBe(errors.length > 0 ? 0 : 1);
        for (const problem of problems) {
          expect(problem.line).toBeGreaterThan(0);
          expect(problem.column).toBeGreaterThan(0);
          expect(problem.message).toMatch(/\.$/);
        }
        expectHarmless();
      }),
      RUNS,
    );
  });

  test('judges text and value alike', () => {
    fc.assert(
      fc.property(objects, (value) => {
        const plain: unknown = JSON.parse(JSON.stringify(value));
        const text = parsePolicies(JSON.stringify(plain));
        const values = parsePolicyValues([plain]);
        expect(values.documents).toEqual(text.documents);
        expect(values.problems.map(({ code, pointer }) => `${code} ${pointer}`).sort()).toEqual(
          text.problems.map(({ code, pointer }) => `${code} ${pointer}`).sort(),
        );
      }),
      RUNS,
    );
  });

  test('makes an IR that survives JSON, decodes to itself and can be asked for verdicts', () => {
    let accepted = 0;
    fc.assert(
      fc.property(tameObject, (value) => {
        const { documents } = parsePolicyValues([value]);
        accepted += documents.length;
        const set = createPolicySet(documents);
        const decoded = decodePolicySet(JSON.parse(JSON.stringify(set)));
        expect(decoded).toEqual(set);
        const { verdict } = new PolicyEngine(decoded, facts).verdict({
          source: { address: '10.1.2.3' },
          destination: { entity: 'host' },
          protocol: 'TCP',
          port: 80,
        });
        expect(verdict).toBe('allow');
      }),
      RUNS,
    );
    expect(accepted).toBeGreaterThan(RUNS.numRuns / 20);
  });

  test('survives arbitrary text and damaged YAML', () => {
    const valid =
      'apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec:\n  endpointSelector: &e {}\n  ingress:\n  - fromEndpoints: [*e]\n    toPorts: [{ports: [{port: "80"}]}]\n';
    const damaged = fc.record({
      at: fc.nat(valid.length),
      cut: fc.nat(20),
      insert: fc.string({
        maxLength: 10,
        unit: fc.constantFrom('{', '}', '[', ']', ':', '-', '&', '*', '!', '"', "'", '\n', ' ', '#', '|', '>', '%', '\t', 'a', '0', '?', ','),
      }),
    });
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ maxLength: 200 }),
          damaged.map(({ at, cut, insert }) => valid.slice(0, at) + insert + valid.slice(at + cut)),
        ),
        (text) => {
          const { documents, problems } = parsePolicies(text);
          for (const { message } of problems) expect(message.length).toBeGreaterThan(10);
          expect(documents.length).toBeLessThanOrEqual(text.length);
          expectHarmless();
        },
      ),
      { ...RUNS, numRuns: 1_000 },
    );
  });

  test('takes time in proportion to the input', () => {
    const rule = '{"fromEndpoints":[{"matchLabels":{"app":"web"}}],"toPorts":[{"ports":[{"port":"80","protocol":"TCP"}]}]}';
    const policy = (rules: number) =>
      `{"apiVersion":"cilium.io/v2","kind":"CiliumNetworkPolicy","metadata":{"name":"p"},"spec":{"endpointSelector":{},"ingress":[${Array.from({ length: rules }, () => rule).join(',')}]}}`;
    const time = (text: string) => {
      const start = process.cpuUsage();
      expect(parsePolicies(text).documents).toHaveLength(1);
      return process.cpuUsage(start).user;
    };
    time(policy(200));
    const small = Math.min(time(policy(200)), time(policy(200)), time(policy(200)));
    const large = Math.min(time(policy(1_600)), time(policy(1_600)));
    // Eight times the input; quadratic behaviour would take 64 times as long.
    expect(large / small).toBeLessThan(30);
  });
});
