import { resolveNode, type ClusterFacts, type FactsIncrement, type PolicyDocument, type PolicySet } from '@palisade/policy';
import { describe, expect, it } from 'vitest';
import { applyIncrement } from '../identities/apply-increment.ts';
import { rememberStep } from '../identities/facts-lineage.ts';
import { followingResolver } from './following-resolver.ts';

const none = { upserted: [], removed: [] };
const workload = (n: number, identity: number) => ({ key: `pod/a/${n}`, namespace: 'a', name: String(n), identity, network: 'default', addresses: [`10.0.0.${n}`], node: n % 2 === 0 ? 'node-a' : 'node-b' });
const identity = (id: number) => ({ id, labels: { 'k8s:app': `app-${id}`, 'k8s:io.kubernetes.pod.namespace': 'a' } });

const FACTS: ClusterFacts = { clusterName: 'c', identityRevision: 1, identities: [identity(300), identity(301)], workloads: [workload(2, 300), workload(3, 301)], nodes: [], services: [], cidrGroups: [], hostFirewall: false };

function policies(...apps: number[]): PolicySet {
  const document = (app: number): PolicyDocument => ({
    irVersion: 1, kind: 'CiliumNetworkPolicy', namespace: 'a', name: `allow-${app}`, revision: 1, mode: 'enforce',
    blocks: [{
      spec: 0, tier: 'normal', priority: 0, direction: 'ingress', isolates: true, rules: [],
      subject: { kind: 'endpoints', selector: { localCluster: false, requirements: [{ key: 'k8s:app', operator: 'in', values: [`app-${app}`] }] } },
    }],
  });
  return { irVersion: 1, policies: apps.map(document).sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

function step(facts: ClusterFacts, change: Partial<FactsIncrement>): ClusterFacts {
  const increment = { identityRevision: facts.identityRevision + 1, previousRevision: facts.identityRevision, identities: none, workloads: none, nodes: none, services: none, cidrGroups: none, ...change };
  const after = applyIncrement(facts, increment);
  rememberStep(facts, increment, after);
  return after;
}

describe('the following resolver', () => {
  it('gives what a full resolve gives, through identity steps, policy changes, jumps and ways back', () => {
    const resolve = followingResolver();
    const check = (policy: PolicySet, facts: ClusterFacts, revision: number) => {
      expect(resolve('live', policy, facts, 'node-a', revision)).toEqual(resolveNode(policy, facts, 'node-a', { policyRevision: revision }));
    };
    const first = policies(300);
    check(first, FACTS, 1);
    const second = step(FACTS, { identities: { upserted: [identity(302)], removed: [] }, workloads: { upserted: [workload(4, 302)], removed: [] } });
    check(first, second, 1);
    const third = step(second, { workloads: { upserted: [], removed: ['pod/a/2'] } });
    const fourth = step(third, { workloads: { upserted: [workload(6, 300)], removed: [] } });
    check(first, fourth, 1); // two steps at once
    const more = policies(300, 302);
    check(more, fourth, 2);
    check(first, fourth, 3); // back
    check(policies(), { ...fourth, identityRevision: 90 }, 4); // a snapshot: the way is not known
  });

  it('keeps live and shadow apart', () => {
    const resolve = followingResolver();
    const live = resolve('live', policies(300), FACTS, 'node-a', 1);
    const shadow = resolve('shadow', policies(301), FACTS, 'node-a', 2);
    expect(shadow.digest).not.toBe(live.digest);
    expect(resolve('live', policies(300), FACTS, 'node-a', 1).digest).toBe(live.digest);
  });
});
