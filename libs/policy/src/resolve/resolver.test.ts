import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClusterFacts, FactsIncrement } from '../facts.ts';
import { policyKey, type PolicyDocument } from '../ir.ts';
import { createPolicySet } from '../policy-set.ts';
import { PolicyResolver } from './resolver.ts';
import { arbitraryFacts, arbitraryPolicies, arbitraryPolicy, arbitraryWorkload, workloadFact } from './testing/arbitrary-cluster.ts';

const SEED = Number(process.env['PALISADE_SEED'] ?? 20261122);
const RUNS = Number(process.env['PALISADE_RESOLVE_RUNS'] ?? 40);

/** A change as a step of the model; `increment` for those that come through the identity stream. */
type Change =
  | { readonly kind: 'policy'; readonly policy: PolicyDocument }
  | { readonly kind: 'remove-policy'; readonly at: number }
  | { readonly kind: 'facts'; readonly edit: (facts: ClusterFacts) => Partial<Edits> };

type Edits = Omit<FactsIncrement, 'identityRevision' | 'previousRevision'>;

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.integer({ min: 0, max: 7 }).chain((i) => arbitraryPolicy(`p${i}`)).map((policy) => ({ kind: 'policy' as const, policy })),
  fc.nat(5).map((at) => ({ kind: 'remove-policy' as const, at })),
  fc.tuple(fc.array(arbitraryWorkload, { minLength: 1, maxLength: 2 }), fc.nat(9)).map(([drafts, at]) => ({
    kind: 'facts' as const,
    edit: () => {
      const made = drafts.map((draft, i) => workloadFact(draft, at + i));
      return { identities: { upserted: made.map(({ workload, labels }) => ({ id: workload.identity, labels })), removed: [] }, workloads: { upserted: made.map(({ workload }) => workload), removed: [] } };
    },
  })),
  fc.nat(9).map((at) => ({ kind: 'facts' as const, edit: ({ workloads }: ClusterFacts) => ({ workloads: { upserted: [], removed: workloads.slice(at, at + 1).map(({ key }) => key) } }) })),
  fc.tuple(fc.nat(5), fc.constantFrom('web', 'api', 'db')).map(([at, app]) => ({
    kind: 'facts' as const,
    edit: ({ identities }: ClusterFacts) => ({ identities: { upserted: identities.slice(at, at + 1).map(({ id, labels }) => ({ id, labels: { ...labels, 'k8s:app': app } })), removed: [] } }),
  })),
  fc.nat(5).map((at) => ({ kind: 'facts' as const, edit: ({ identities }: ClusterFacts) => ({ identities: { upserted: [], removed: identities.slice(at, at + 1).map(({ id }) => id) } }) })),
  fc.constantFrom('a', 'b').map((role) => ({ kind: 'facts' as const, edit: () => ({ nodes: { upserted: [{ name: 'n1', labels: { role, zone: 'b' }, addresses: ['172.18.0.2', '10.1.2.2'] }], removed: ['n2'] } }) })),
  fc.constantFrom('web', 'db').map((app) => ({ kind: 'facts' as const, edit: () => ({ services: { upserted: [{ namespace: 'shop', name: 'svc', labels: {}, selector: { app } }], removed: ['shop/ext'] } }) })),
  fc.constant({ kind: 'facts' as const, edit: () => ({ cidrGroups: { upserted: [{ name: 'partners', labels: {}, cidrs: ['203.0.113.0/25'] }], removed: [] } }) }),
);

const nothing = { upserted: [], removed: [] };

describe('PolicyResolver', () => {
  it('ends in the same state and digest as a full resolve after every change', () => {
    fc.assert(
      fc.property(arbitraryPolicies, arbitraryFacts, fc.array(change, { minLength: 1, maxLength: 8 }), (set, initial, changes) => {
        // Every second run forgets between changes what it could reuse.
        const resolver = new PolicyResolver(set, initial, 'n1', changes.length % 2 === 0 ? { rememberUpTo: 3 } : {});
        const documents = new Map(set.policies.map((policy) => [policyKey(policy), policy]));
        let facts = initial;
        for (const step of changes) {
          if (step.kind === 'policy') {
            documents.set(policyKey(step.policy), step.policy);
            resolver.updatePolicy(step.policy);
          } else if (step.kind === 'remove-policy') {
            const key = [...documents.keys()][step.at];
            if (key === undefined) continue;
            documents.delete(key);
            resolver.removePolicy(key);
          } else {
            const increment = { identities: nothing, workloads: nothing, nodes: nothing, services: nothing, cidrGroups: nothing, ...step.edit(facts), previousRevision: facts.identityRevision, identityRevision: facts.identityRevision + 1 };
            resolver.updateFacts(increment);
            facts = apply(facts, increment);
          }
          const full = new PolicyResolver(createPolicySet([...documents.values()]), facts, 'n1').resolved();
          const followed = resolver.resolved();
          expect(followed).toEqual(full);
        }
      }),
      { seed: SEED, numRuns: RUNS },
    );
  }, 30_000 + RUNS * 500);

  it('takes over a whole set of policies with the same result as a full resolve', () => {
    fc.assert(
      fc.property(arbitraryPolicies, arbitraryPolicies, arbitraryFacts, (before, after, facts) => {
        const resolver = new PolicyResolver(before, facts, 'n1');
        resolver.updatePolicies(after);
        expect(resolver.resolved()).toEqual(new PolicyResolver(after, facts, 'n1').resolved());
      }),
      { seed: SEED, numRuns: RUNS },
    );
  }, 30_000 + RUNS * 500);

  it('keeps the objects of endpoints that a change does not concern', () => {
    const facts: ClusterFacts = {
      clusterName: 'default',
      identityRevision: 1,
      identities: ['web', 'db'].map((app, i) => ({ id: 1000 + i, labels: { 'k8s:app': app } })),
      workloads: ['web', 'db'].map((app, i) => ({ key: app, namespace: 'shop', name: app, identity: 1000 + i, network: 'default', addresses: [`10.0.0.${i + 1}`], node: 'n1' })),
      nodes: [],
      services: [],
      cidrGroups: [],
      hostFirewall: false,
    };
    const resolver = new PolicyResolver(createPolicySet([]), facts, 'n1');
    const before = resolver.resolved().endpoints;
    resolver.updatePolicy({
      irVersion: 1,
      kind: 'CiliumClusterwideNetworkPolicy',
      name: 'db',
      revision: 1,
      mode: 'enforce',
      blocks: [{ spec: 0, tier: 'normal', priority: 0, direction: 'ingress', subject: { kind: 'endpoints', selector: { requirements: [{ key: 'k8s:app', operator: 'in', values: ['db'] }], localCluster: false } }, isolates: true, rules: [] }],
    });
    const [db, web] = resolver.resolved().endpoints;
    expect(web).toBe(before[1]);
    expect(db?.entries).toEqual([{ direction: 'ingress', peerClass: 0, protocol: 0, port: 0, portPrefixLength: 0, verdict: 'deny', ruleId: expect.any(Number) }]);
    expect(resolver.resolved().rules[db?.entries[0]?.ruleId ?? 0]).toMatchObject({ kind: 'default-deny', policies: [{ name: 'db' }] });
  });

  it('refuses an increment that starts elsewhere than the facts stand', () => {
    const facts: ClusterFacts = { clusterName: 'c', identityRevision: 7, identities: [], workloads: [], nodes: [], services: [], cidrGroups: [], hostFirewall: false };
    const resolver = new PolicyResolver(createPolicySet([]), facts, 'n1');
    expect(() => resolver.updateFacts({ previousRevision: 6, identityRevision: 8, identities: nothing, workloads: nothing, nodes: nothing, services: nothing, cidrGroups: nothing })).toThrow(RangeError);
  });
});

function apply(facts: ClusterFacts, increment: FactsIncrement): ClusterFacts {
  const merge = <Fact, Key>(list: readonly Fact[], { upserted, removed }: { readonly upserted: readonly Fact[]; readonly removed: readonly Key[] }, keyOf: (fact: Fact) => Key): Fact[] => {
    const merged = new Map(list.map((fact) => [keyOf(fact), fact]));
    for (const key of removed) merged.delete(key);
    for (const fact of upserted) merged.set(keyOf(fact), fact);
    return [...merged.values()];
  };
  return {
    ...facts,
    identityRevision: increment.identityRevision,
    identities: merge(facts.identities, increment.identities, ({ id }) => id),
    workloads: merge(facts.workloads, increment.workloads, ({ key }) => key),
    nodes: merge(facts.nodes, increment.nodes, ({ name }) => name),
    services: merge(facts.services, increment.services, ({ namespace, name }) => `${namespace}/${name}`),
    cidrGroups: merge(facts.cidrGroups, increment.cidrGroups, ({ name }) => name),
  };
}
