import { describe, expect, test } from 'vitest';
import type { L7Clause, PolicyDocument } from './ir.ts';
import { decodePolicyDocument, decodePolicySet } from './codec/ir-codec.ts';
import { policyFindings } from './policy-findings.ts';
import { createPolicySet } from './policy-set.ts';
import { claimRuleId, hash32, wantedRuleId } from './rule-id.ts';

function policy(name: string, ids: readonly number[], over: Partial<PolicyDocument> = {}): PolicyDocument {
  const rules = ids.map((id, index) => ({
    id,
    index,
    section: 'ingress' as const,
    action: 'allow' as const,
    peers: [{ kind: 'any' as const }],
    ports: [{ ports: [{ kind: 'any' as const }] }],
  }));
  const subject = { kind: 'endpoints' as const, selector: { requirements: [], localCluster: true } };
  return {
    irVersion: 1,
    kind: 'NetworkPolicy',
    namespace: 'a',
    name,
    revision: 1,
    mode: 'enforce',
    blocks: [{ spec: 0, tier: 'normal', priority: 0, direction: 'ingress', subject, isolates: true, rules }],
    ...over,
  };
}
const idsIn = (policies: readonly PolicyDocument[]) =>
  createPolicySet(policies).policies.map(({ name, blocks }) => [name, ...blocks.flatMap(({ rules }) => rules.map(({ id }) => id))]);

describe('sets of policies', () => {
  test('are sorted by key, whatever order they came in', () => {
    expect(idsIn([policy('b', [1]), policy('a', [2])])).toEqual([
      ['a', 2],
      ['b', 1],
    ]);
  });

  test('settle colliding rule ids the same way every time, the first policy keeping its number', () => {
    expect(idsIn([policy('b', [7]), policy('a', [7, 8])])).toEqual([
      ['a', 7, 8],
      ['b', 9],
    ]);
    expect(idsIn([policy('a', [7, 8]), policy('b', [7])])).toEqual([
      ['a', 7, 8],
      ['b', 9],
    ]);
  });

  test('refuse the same policy twice and unknown IR versions', () => {
    expect(() => createPolicySet([policy('a', []), policy('a', [])])).toThrow(/occurs twice/);
    expect(() => createPolicySet([{ ...policy('a', []), irVersion: 99 as 1 }])).toThrow(/IR version 99/);
  });
});

describe('rule ids', () => {
  test('are never 0 and wrap around at 32 bits', () => {
    expect(claimRuleId(0, new Set())).toBe(1);
    expect(claimRuleId(0xffffffff, new Set([0xffffffff]))).toBe(1);
  });

  test('depend on policy, direction, content and ordinal', () => {
    const rule = { section: 'ingress' as const, action: 'allow' as const, peers: [], ports: [] };
    const ids = [
      wantedRuleId('k', 'ingress', rule, 0),
      wantedRuleId('l', 'ingress', rule, 0),
      wantedRuleId('k', 'egress', rule, 0),
      wantedRuleId('k', 'ingress', { ...rule, action: 'deny' }, 0),
      wantedRuleId('k', 'ingress', rule, 1),
    ];
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('spread evenly', () => {
    const ids = new Set(Array.from({ length: 20_000 }, (_, i) => hash32(`rule ${i}`)));
    expect(ids.size).toBeGreaterThan(19_990);
  });
});

describe('the IR codec', () => {
  test('gives back what it is given, in one order of fields', () => {
    const set = createPolicySet([policy('a', [1])]);
    const shuffled: unknown = JSON.parse(
      JSON.stringify({ policies: set.policies.map((one) => Object.fromEntries(Object.entries(one).reverse())), irVersion: 1 }),
    );
    expect(JSON.stringify(decodePolicySet(shuffled))).toBe(JSON.stringify(set));
  });

  test.each<[string, (policy: Record<string, unknown>) => void, string]>([
    ['an unknown field', (one) => Object.assign(one, { extra: 1 }), '/extra'],
    ['a missing field', (one) => delete one['mode'], '/mode'],
    ['an unknown version', (one) => Object.assign(one, { irVersion: 2 }), '/irVersion'],
    [
      'a wrong type deep inside',
      (one) => Object.assign(one, { blocks: [{ ...(one['blocks'] as object[])[0], isolates: 'yes' }] }),
      '/blocks/0/isolates',
    ],
  ])('refuses %s with its pointer', (_, damage, pointer) => {
    const damaged = JSON.parse(JSON.stringify(policy('a', [1]))) as Record<string, unknown>;
    damage(damaged);
    expect(() => decodePolicyDocument(damaged)).toThrow(expect.objectContaining({ code: 'request.invalid', pointer }));
  });

  test.each([null, 1, 'x', [], {}, { irVersion: 1, policies: 'x' }, { irVersion: 1, policies: [null] }])('refuses %j', (value) => {
    expect(() => decodePolicySet(value)).toThrow(/policy IR is damaged/);
  });

  test('refuses expressions and CIDRs that could not be evaluated', () => {
    const withPeer = (peer: unknown) => ({
      ...policy('a', []),
      blocks: [{ ...policy('a', []).blocks[0], rules: [{ ...policy('a', [1]).blocks[0]?.rules[0], peers: [peer] }] }],
    });
    expect(() => decodePolicyDocument(withPeer({ kind: 'cidr', cidr: '10.0.0.0/99', except: [], matchesPods: true }))).toThrow(/a CIDR is needed/);
    expect(() => decodePolicyDocument(withPeer({ kind: '__proto__' }))).toThrow(/peers\/0\/kind/);
  });
});

describe('findings', () => {
  test('equal priorities of one tier and direction are reported, different ones are not', () => {
    const at = (name: string, priority: number) =>
      policy(name, [], {
        kind: 'ClusterNetworkPolicy',
        blocks: policy(name, []).blocks.map((block) => ({ ...block, tier: 'admin', priority, isolates: false })),
      });
    expect(policyFindings(createPolicySet([at('a', 5), at('b', 5), at('c', 6)]))).toEqual([
      expect.objectContaining({ code: 'equal-priority', policies: ['ClusterNetworkPolicy:a/a', 'ClusterNetworkPolicy:a/b'] }),
    ]);
  });

  const withL7 = (name: string, l7: L7Clause) =>
    policy(name, [], {
      blocks: policy(name, [1]).blocks.map((block) => ({
        ...block,
        rules: block.rules.map((rule) => ({ ...rule, ports: [{ ports: [{ kind: 'range', protocol: 'TCP', first: 53, last: 53 }], l7 }] })),
      })),
    });

  test('HTTP and DNS rules on the same connections are reported', () => {
    const http = withL7('a', { kind: 'http', mode: 'hard', rules: [] });
    const dns = withL7('b', { kind: 'dns', mode: 'hard', names: [] });
    expect(policyFindings(createPolicySet([http, dns]))).toEqual([
      expect.objectContaining({ code: 'content-conflict', policies: ['NetworkPolicy:a/a', 'NetworkPolicy:a/b'] }),
    ]);
    expect(policyFindings(createPolicySet([http, withL7('c', { kind: 'http', mode: 'hard', rules: [] })]))).toEqual([]);
  });

  test('patterns of DNS names that nodes cannot match are reported, unless every name is admitted anyway', () => {
    const asks = (...values: readonly string[]) => withL7('a', { kind: 'dns', mode: 'hard', names: values.map((value) => ({ kind: 'pattern', value })) });
    expect(policyFindings(createPolicySet([asks('a*.example.com', '*.example.com', '**.example.com', 'example.com')]))).toEqual([
      expect.objectContaining({ code: 'not-enforced', message: expect.stringContaining('“a*.example.com”') as string }),
    ]);
    expect(policyFindings(createPolicySet([asks('a*.example.com', '*')]))).toEqual([]);
  });
});
