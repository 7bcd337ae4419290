import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ResolvedNode } from '../resolution.ts';
import { checkResolution } from './check-resolution.ts';
import { resolveNode } from './resolve-node.ts';
import { arbitraryFacts, arbitraryPolicies } from './testing/arbitrary-cluster.ts';

describe('checkResolution', () => {
  it.each(['live', 'all'] as const)('finds no difference in what the resolver made of any policies (%s)', (policies) => {
    let compared = 0;
    fc.assert(
      fc.property(arbitraryPolicies, arbitraryFacts, fc.nat(), (set, facts, seed) => {
        const { tuples, differences } = checkResolution(set, facts, resolveNode(set, facts, 'n1', { policies }), { tuples: 100, seed, policies });
        compared += tuples;
        expect(differences).toEqual([]);
      }),
      { numRuns: 40 },
    );
    expect(compared).toBeGreaterThan(1_000);
  });

  it('finds a table that allows what policy denies', () => {
    const [set, facts, node] = enforced();
    const tampered: ResolvedNode = { ...node, endpoints: node.endpoints.map((endpoint) => ({ ...endpoint, entries: endpoint.entries.map((entry) => (entry.verdict === 'deny' ? { ...entry, verdict: 'allow' as const } : entry)) })) };
    const { differences } = checkResolution(set, facts, tampered, { tuples: 2_000, seed: 1 });
    expect(differences[0]).toMatchObject({ evaluated: expect.stringContaining('deny'), resolved: expect.stringContaining('allow') });
  });

  it('draws the same tuples for the same seed', () => {
    const [set, facts, node] = enforced();
    const empty: ResolvedNode = { ...node, endpoints: node.endpoints.map((endpoint) => ({ ...endpoint, entries: [] })) };
    const check = (seed: number) => checkResolution(set, facts, empty, { tuples: 500, seed }).differences;
    expect(check(3)).toEqual(check(3));
    expect(check(3)).not.toEqual(check(4));
  });
});

/** A node on which something is denied. */
function enforced() {
  const [found] = fc
    .sample(fc.tuple(arbitraryPolicies, arbitraryFacts), { numRuns: 200, seed: 7 })
    .map(([set, facts]) => [set, facts, resolveNode(set, facts, 'n1')] as const)
    .filter(([, , node]) => node.endpoints.some(({ entries }) => entries.some(({ verdict }) => verdict === 'deny')));
  return found!;
}
