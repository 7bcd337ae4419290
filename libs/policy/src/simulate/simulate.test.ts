import { describe, expect, it } from 'vitest';
import type { ClusterFacts } from '../facts.ts';
import { IR_VERSION, type PolicyDocument } from '../ir.ts';
import { createPolicySet } from '../policy-set.ts';
import type { RecordedFlow } from './recorded-flow.ts';
import { simulate } from './simulate.ts';

const facts: ClusterFacts = {
  clusterName: 'default',
  identityRevision: 4,
  identities: ['web', 'db'].map((app, i) => ({ id: 1000 + i, labels: { 'k8s:app': app, 'k8s:io.kubernetes.pod.namespace': 'shop' } })),
  workloads: ['web', 'db'].map((app, i) => ({ key: `pod/shop/${app}`, namespace: 'shop', name: app, identity: 1000 + i, network: 'default', addresses: [`10.0.0.${i + 1}`], node: 'n1' })),
  nodes: [{ name: 'n1', labels: {}, addresses: ['172.18.0.2'] }],
  services: [],
  cidrGroups: [],
  hostFirewall: false,
};

const onlyPort = (port: number, mode: PolicyDocument['mode']): PolicyDocument => ({
  irVersion: IR_VERSION,
  kind: 'CiliumNetworkPolicy',
  namespace: 'shop',
  name: 'db',
  revision: 1,
  mode,
  blocks: [
    {
      spec: 0,
      tier: 'normal',
      priority: 0,
      direction: 'ingress',
      subject: { kind: 'endpoints', selector: { requirements: [{ key: 'k8s:app', operator: 'in', values: ['db'] }], localCluster: true } },
      isolates: true,
      rules: [{ id: 7, index: 0, section: 'ingress', action: 'allow', peers: [{ kind: 'any' }], ports: [{ ports: [{ kind: 'range', protocol: 'TCP', first: port, last: port }] }] }],
    },
  ],
});

const seen = (port: number, weight: number, id: string, source = 'pod/shop/web'): RecordedFlow => ({ flow: { source: { workload: source }, destination: { workload: 'pod/shop/db' }, protocol: 'TCP', port }, verdict: 'allow', direction: 'ingress', weight, id });

describe('simulate', () => {
  const flows = [seen(5432, 100, 'a'), seen(9090, 3, 'b'), seen(9090, 4, 'c'), seen(80, 1, 'd'), seen(5432, 9, 'e', 'pod/shop/gone')];

  it('groups what a candidate in shadow mode would deny, with weights, examples and the policy behind it', () => {
    const result = simulate(createPolicySet([onlyPort(5432, 'shadow')]), facts, flows);
    expect(result).toMatchObject({ replayed: 117, unchanged: 100, unresolved: 9, furtherChanged: 0 });
    expect(result.changes.map(({ flow, weight, examples }) => [flow.port, weight, examples])).toEqual([[9090, 7, ['b', 'c']], [80, 1, ['d']]]);
    expect(result.changes[0]).toMatchObject({ before: 'allow', after: 'deny', verdict: { reason: 'default-deny', policies: [{ name: 'db' }] } });
  });

  it('replays only what is live when asked to: observed policies audit, shadow ones do nothing', () => {
    expect(simulate(createPolicySet([onlyPort(5432, 'shadow')]), facts, flows, { policies: 'live' }).changes).toEqual([]);
    expect(simulate(createPolicySet([onlyPort(5432, 'observe')]), facts, flows, { policies: 'live' }).changes.map(({ after }) => after)).toEqual(['audit', 'audit']);
  });

  it('counts flows beyond its bound of groups instead of keeping them', () => {
    const result = simulate(createPolicySet([onlyPort(5432, 'enforce')]), facts, flows, { maxChanges: 1 });
    expect(result.changes).toHaveLength(1);
    expect(result.furtherChanged).toBe(1);
  });
});
