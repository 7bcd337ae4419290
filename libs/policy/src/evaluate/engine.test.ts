import { describe, expect, test } from 'vitest';
import type { ClusterFacts, WorkloadFact } from '../facts.ts';
import type { Peer, PolicyBlock, PolicyDocument, PolicyMode, PortMatch } from '../ir.ts';
import { workloadLabels } from '../labels.ts';
import { createPolicySet } from '../policy-set.ts';
import type { FlowEnd, FlowQuery } from '../verdict.ts';
import { evaluate, PolicyEngine } from './engine.ts';

const labelsOf = (namespace: string, app: string) => workloadLabels({ clusterName: 'c', namespace, namespaceLabels: {}, labels: { app } });

function workload(namespace: string, name: string, identity: number, address: string, extra: Partial<WorkloadFact> = {}): WorkloadFact {
  return { key: `${namespace}/${name}`, namespace, name, identity, network: 'default', addresses: [address], node: 'n1', ...extra };
}

const facts: ClusterFacts = {
  clusterName: 'c',
  identityRevision: 1,
  identities: [
    { id: 300, labels: labelsOf('shop', 'web') },
    { id: 301, labels: labelsOf('shop', 'api') },
    { id: 302, labels: { ...labelsOf('shop', 'far'), 'k8s:io.cilium.k8s.policy.cluster': 'other' } },
  ],
  workloads: [
    workload('shop', 'web', 300, '10.0.0.1'),
    workload('shop', 'api', 301, '10.0.0.2'),
    workload('shop', 'far', 302, '10.0.0.3'),
    workload('shop', 'twin', 300, '10.0.0.2', { network: 'blue' }),
    workload('shop', 'starting', 5, '10.0.0.9'),
  ],
  nodes: [
    { name: 'n1', labels: { role: 'edge' }, addresses: ['192.168.0.1'] },
    { name: 'n2', labels: { role: 'worker' }, addresses: ['192.168.0.2'] },
  ],
  services: [],
  cidrGroups: [],
  hostFirewall: false,
  reserved: [
    { key: 'api-node', entity: 'kube-apiserver', network: 'default', addresses: ['192.168.0.2', '198.51.100.50'] },
    { key: 'stray', entity: 'unmanaged', network: 'default', addresses: ['10.0.7.7'] },
  ],
};

interface RuleParts {
  readonly action?: 'allow' | 'deny' | 'pass';
  readonly peers?: readonly Peer[];
  readonly ports?: readonly PortMatch[];
}

function policy(
  name: string,
  app: string,
  rules: readonly RuleParts[],
  block: Partial<PolicyBlock> = {},
  mode: PolicyMode = 'enforce',
): PolicyDocument {
  const requirements = [
    { key: 'k8s:io.kubernetes.pod.namespace', operator: 'in' as const, values: ['shop'] },
    { key: 'k8s:app', operator: 'in' as const, values: [app] },
  ];
  return {
    irVersion: 1,
    kind: 'CiliumNetworkPolicy',
    namespace: 'shop',
    name,
    revision: 3,
    mode,
    blocks: [
      {
        spec: 0,
        tier: 'normal',
        priority: 0,
        direction: 'ingress',
        subject: { kind: 'endpoints', selector: { requirements, localCluster: false } },
        isolates: true,
        rules: rules.map(({ action = 'allow', peers = [{ kind: 'any' }], ports = [{ kind: 'any' }] }, index) => ({
          id: index + 1,
          index,
          section: 'ingress',
          action,
          peers,
          ports: [{ ports }],
        })),
        ...block,
      },
    ],
  };
}

const app = (value: string): Peer => ({
  kind: 'endpoints',
  selector: { requirements: [{ key: 'k8s:app', operator: 'in', values: [value] }], localCluster: true },
});
const tcp = (source: FlowEnd, destination: FlowEnd, port = 80): FlowQuery => ({ source, destination, protocol: 'TCP', port });
const web: FlowEnd = { workload: 'shop/web' };
const api: FlowEnd = { workload: 'shop/api' };
const judge = (policies: readonly PolicyDocument[], flow: FlowQuery, over: Partial<ClusterFacts> = {}) =>
  evaluate(createPolicySet(policies), { ...facts, ...over }, flow);

describe('who is at an address', () => {
  test('a workload, when it holds the address in that network', () => {
    const policies = [policy('p', 'api', [{ peers: [app('web')] }])];
    expect(judge(policies, tcp({ address: '10.0.0.1' }, { address: '10.0.0.2' })).ingress).toMatchObject({
      verdict: 'allow',
      reason: 'rule',
      ruleId: 1,
    });
    expect(judge(policies, tcp({ address: '10.0.0.1' }, { address: '10.0.0.2', network: 'blue' })).ingress).toMatchObject({
      verdict: 'allow',
      reason: 'default-allow',
    });
  });

  test('the API server, on a node or outside, when its address is known', () => {
    const policies = [policy('p', 'api', [{ peers: [{ kind: 'entity', entity: 'kube-apiserver' }] }])];
    expect(judge(policies, tcp({ address: '192.168.0.2' }, api)).verdict).toBe('allow');
    expect(judge(policies, tcp({ address: '198.51.100.50' }, api)).verdict).toBe('allow');
    expect(judge(policies, tcp({ address: '198.51.100.51' }, api)).verdict).toBe('deny');
  });

  test('a pod that nobody manages is not the world', () => {
    expect(judge([policy('p', 'api', [{ peers: [{ kind: 'entity', entity: 'world' }] }])], tcp({ address: '10.0.7.7' }, api)).verdict).toBe('deny');
    expect(judge([policy('p', 'api', [{ peers: [{ kind: 'entity', entity: 'unmanaged' }] }])], tcp({ address: '10.0.7.7' }, api)).verdict).toBe(
      'allow',
    );
  });

  test('unknown names are errors, not the world', () => {
    expect(() => judge([], tcp({ workload: 'shop/nobody' }, api))).toThrow(/no workload "shop\/nobody"/);
    expect(() => judge([], tcp({ node: 'n9' }, api))).toThrow(/no node "n9"/);
    expect(() => judge([], tcp({ address: 'ten' }, api))).toThrow(/not an IP address/);
  });

  test('a workload of another cluster is outside selectors bound to this one', () => {
    const policies = [policy('p', 'api', [{ peers: [app('far')] }])];
    expect(judge(policies, tcp({ workload: 'shop/far' }, api)).verdict).toBe('deny');
  });
});

describe('what a verdict tells', () => {
  test('the deciding rule with its policy, revision, tier and index', () => {
    expect(judge([policy('p', 'api', [{ peers: [] }, { peers: [app('web')] }])], tcp(web, api)).ingress.policies).toEqual([
      { kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'p', revision: 3, tier: 'normal', index: 1 },
    ]);
  });

  test('on a default deny every isolating policy once, under one id for the same set of policies', () => {
    const policies = [policy('b', 'api', []), policy('a', 'api', [{ peers: [] }])];
    const { ingress } = judge(policies, tcp(web, api));
    expect(ingress).toMatchObject({ verdict: 'deny', reason: 'default-deny' });
    expect(ingress.policies.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(ingress.ruleId).toBeGreaterThan(0);
    expect(judge(policies.toReversed(), tcp(web, api)).ingress.ruleId).toBe(ingress.ruleId);
    expect(judge([policy('a', 'api', [])], tcp(web, api)).ingress.ruleId).not.toBe(ingress.ruleId);
  });
});

describe('modes of policies', () => {
  const denying = (mode: PolicyMode) => policy('p', 'api', [], {}, mode);

  test('enforce drops, observe reports what it would drop, shadow changes nothing', () => {
    expect(judge([denying('enforce')], tcp(web, api)).verdict).toBe('deny');
    expect(judge([denying('observe')], tcp(web, api))).toMatchObject({
      verdict: 'audit',
      ingress: { verdict: 'audit', reason: 'default-deny', connection: 'audit' },
    });
    expect(judge([denying('shadow')], tcp(web, api))).toMatchObject({ verdict: 'allow', ingress: { reason: 'default-allow' } });
  });

  test('a policy on trial cannot open what enforced ones close', () => {
    const opening = policy('q', 'api', [{ peers: [app('web')] }], {}, 'observe');
    expect(judge([denying('enforce'), opening], tcp(web, api)).verdict).toBe('deny');
  });

  test('all modes count as enforced when one asks what would be', () => {
    const engine = new PolicyEngine(createPolicySet([denying('shadow')]), facts, { policies: 'all' });
    expect(engine.verdict(tcp(web, api)).verdict).toBe('deny');
  });
});

describe('settings of the cluster', () => {
  test('enforcement always isolates without policies, never enforces nothing', () => {
    expect(judge([], tcp(web, api), { settings: { enforcement: 'always' } }).ingress).toMatchObject({
      verdict: 'deny',
      reason: 'isolated-without-policy',
    });
    expect(judge([policy('p', 'api', [])], tcp(web, api), { settings: { enforcement: 'never' } }).verdict).toBe('allow');
  });

  test('an initializing workload is isolated without policies', () => {
    expect(judge([], tcp({ workload: 'shop/starting' }, api)).egress.reason).toBe('isolated-without-policy');
  });

  test('audit mode of an endpoint turns drops into reports', () => {
    const audited = facts.workloads.map((one) => (one.name === 'api' ? { ...one, policyAuditMode: true } : one));
    expect(judge([policy('p', 'api', [])], tcp(web, api), { workloads: audited }).verdict).toBe('audit');
  });
});

describe('own addresses', () => {
  test('a pod reaches itself and its node reaches it, isolated as it may be', () => {
    const isolated = [policy('p', 'api', [])];
    expect(judge(isolated, tcp(api, api)).ingress.reason).toBe('own-address');
    expect(judge(isolated, tcp({ node: 'n1' }, api)).ingress.reason).toBe('own-node');
    expect(judge(isolated, tcp({ node: 'n2' }, api)).ingress.reason).toBe('default-deny');
    expect(judge(isolated, tcp({ entity: 'host' }, api)).ingress.reason).toBe('own-node');
  });
  test('rules on content do not bind a pod’s own node, denies do', () => {
    const ports = [{ ports: [{ kind: 'range' as const, protocol: 'TCP' as const, first: 80, last: 80 }], l7: { kind: 'http' as const, mode: 'hard' as const, rules: [{ path: '/public' }] } }];
    const content = policy('p', 'api', [{ peers: [{ kind: 'any' }], ports: ports.flatMap((clause) => clause.ports) }]);
    const byContent = { ...content, blocks: content.blocks.map((block) => ({ ...block, rules: block.rules.map((rule) => ({ ...rule, ports })) })) };
    expect(judge([byContent], tcp({ node: 'n1' }, api, 80)).ingress).toMatchObject({ verdict: 'allow', connection: 'allow', reason: 'own-node' });
    expect(judge([byContent], tcp({ node: 'n2' }, api, 80)).ingress).toMatchObject({ connection: 'l7' });
    expect(judge([byContent], tcp(web, api, 80)).ingress).toMatchObject({ connection: 'l7' });
  });
});

describe('asking twice', () => {
  test('gives the same answer from the memo', () => {
    const engine = new PolicyEngine(
      createPolicySet([policy('p', 'api', [{ peers: [app('web')], ports: [{ kind: 'range', protocol: 'TCP', first: 80, last: 80 }] }])]),
      facts,
    );
    const first = [80, 81].map((port) => engine.verdict(tcp(web, api, port)));
    expect([80, 81].map((port) => engine.verdict(tcp(web, api, port)))).toEqual(first);
    expect(first.map(({ verdict }) => verdict)).toEqual(['allow', 'deny']);
  });
});
