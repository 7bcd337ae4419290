import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PolicyEngine } from '../evaluate/engine.ts';
import type { ClusterFacts } from '../facts.ts';
import { IR_VERSION, type LabelSelector, type PolicyDocument } from '../ir.ts';
import { workloadLabels } from '../labels.ts';
import { createPolicySet } from '../policy-set.ts';
import { arbitraryFacts, arbitraryPolicies, PORTS } from '../resolve/testing/arbitrary-cluster.ts';
import { diffPolicies, renderDiff } from './policy-diff.ts';

const SEED = Number(process.env['PALISADE_SEED'] ?? 20261122);
const RUNS = Number(process.env['PALISADE_RESOLVE_RUNS'] ?? 25);

const app = (name: string): LabelSelector => ({ requirements: [{ key: 'k8s:app', operator: 'in', values: [name] }], localCluster: false });

function allowTo(name: string, to: string, from: string, port: number): PolicyDocument {
  const rule = { id: port, index: 0, section: 'ingress' as const, action: 'allow' as const, peers: [{ kind: 'endpoints' as const, selector: app(from) }], ports: [{ ports: [{ kind: 'range' as const, protocol: 'TCP' as const, first: port, last: port }] }] };
  return { irVersion: IR_VERSION, kind: 'CiliumClusterwideNetworkPolicy', name, revision: 1, mode: 'enforce', blocks: [{ spec: 0, tier: 'normal', priority: 0, direction: 'ingress', subject: { kind: 'endpoints', selector: app(to) }, isolates: true, rules: [rule] }] };
}

const apps = ['web', 'api', 'db'];
const facts: ClusterFacts = {
  clusterName: 'default',
  identityRevision: 1,
  identities: apps.map((name, i) => ({ id: 1000 + i, labels: workloadLabels({ clusterName: 'default', namespace: 'shop', namespaceLabels: {}, labels: { app: name } }) })),
  workloads: apps.flatMap((name, i) => [1, 2].map((n) => ({ key: `pod/shop/${name}-${n}`, namespace: 'shop', name: `${name}-${n}`, identity: 1000 + i, network: 'default', addresses: [`10.0.${i}.${n}`], node: `n${n}` }))),
  nodes: ['n1', 'n2'].map((name, i) => ({ name, labels: {}, addresses: [`172.18.0.${i + 2}`] })),
  services: [],
  cidrGroups: [],
  hostFirewall: false,
};

describe('diffPolicies', () => {
  it('says who is newly allowed on exactly the ports that opened', () => {
    const before = createPolicySet([allowTo('db', 'db', 'api', 5432)]);
    const after = createPolicySet([allowTo('db', 'db', 'api', 5432), allowTo('db-web', 'db', 'web', 9090)]);
    const { changes, truncated } = diffPolicies(before, after, facts);
    expect(truncated).toBe(false);
    expect(changes).toHaveLength(1);
    expect(changes[0]).toMatchObject({ effect: 'newly-allowed', from: [{ kind: 'workloads', identity: 1000 }], to: { kind: 'workloads', identity: 1002 }, ports: [{ protocol: 'TCP', first: 9090, last: 9090 }] });
    expect(changes[0]?.example).toMatchObject({ before: { verdict: 'deny', reason: 'default-deny' }, after: { verdict: 'allow', ruleId: 9090 } });
    expect(renderDiff(diffPolicies(before, after, facts))).toBe('newly allowed: shop app=web → shop app=db on TCP/9090');
  });

  it('lists denials first when a first policy isolates', () => {
    const { changes } = diffPolicies(createPolicySet([]), createPolicySet([allowTo('db', 'db', 'api', 5432)]), facts);
    expect(changes[0]?.effect).toBe('newly-denied');
    const fromApi = changes.find(({ from }) => from.some((end) => end.kind === 'workloads' && end.identity === 1001));
    expect(fromApi?.ports).toContainEqual({ protocol: 'TCP', first: 0, last: 5431 });
    expect(fromApi?.ports).toContainEqual({ protocol: 'TCP', first: 5433, last: 65535 });
    expect(changes.every(({ effect }) => effect === 'newly-denied')).toBe(true);
  });

  it('finds nothing where only revisions or names differ in effect', () => {
    const before = createPolicySet([allowTo('db', 'db', 'api', 5432)]);
    const after = createPolicySet([{ ...allowTo('db', 'db', 'api', 5432), revision: 2 }]);
    expect(diffPolicies(before, after, facts)).toEqual({ changes: [], comparedPairs: 0, truncated: false });
    expect(renderDiff(diffPolicies(before, after, facts))).toBe('No connection is judged differently.');
  });

  it('stops at its limits and says so', () => {
    const after = createPolicySet([allowTo('db', 'db', 'api', 5432), allowTo('web', 'web', 'api', 80)]);
    expect(diffPolicies(createPolicySet([]), after, facts, { maxPairs: 1 }).truncated).toBe(true);
    expect(diffPolicies(createPolicySet([]), after, facts, { maxChanges: 1 })).toMatchObject({ truncated: true, changes: [{}] });
  });

  it('equals a comparison of every pair of workloads on generated policies', () => {
    fc.assert(
      fc.property(arbitraryPolicies, arbitraryPolicies, arbitraryFacts, (before, after, generated) => {
        const diff = diffPolicies(before, after, generated, { maxPairs: 1e6, maxChanges: 1e6 });
        const [old, fresh] = [new PolicyEngine(before, generated), new PolicyEngine(after, generated)];
        const said = new Map<string, string>();
        for (const { effect, from, to, ports } of diff.changes) {
          for (const source of from) {
            if (source.kind !== 'workloads' || to.kind !== 'workloads') continue;
            for (const { protocol, first, last } of ports) for (const port of PORTS) if (port >= first && port <= last) said.set(`${source.identity} ${to.identity} ${protocol} ${port}`, effect);
          }
        }
        const pods = generated.workloads.filter(({ hostNetwork }) => hostNetwork !== true);
        const differing = new Set<string>();
        for (const source of pods) {
          for (const destination of pods) {
            for (const port of PORTS) {
              const flow = { source: { workload: source.key }, destination: { workload: destination.key }, protocol: 'TCP' as const, port };
              const [a, b] = [old.verdict(flow).verdict, fresh.verdict(flow).verdict];
              const key = `${source.identity} ${destination.identity} TCP ${port}`;
              if (a !== b) {
                differing.add(key);
                expect(said.has(key), `${key}: ${a} became ${b}`).toBe(true);
              }
            }
          }
        }
        for (const [key, effect] of said) if (key.includes('TCP') && effect !== 'content') expect(differing.has(key), key).toBe(true);
      }),
      { seed: SEED, numRuns: RUNS },
    );
  }, 30_000 + RUNS * 500);
});
