import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { resolveNode } from './resolve-node.ts';
import { arbitraryFacts, arbitraryPolicies } from './testing/arbitrary-cluster.ts';
import { compareNode, PACKETS } from './testing/compare-with-evaluator.ts';

const SEED = Number(process.env['PALISADE_SEED'] ?? 20261122);
const RUNS = Number(process.env['PALISADE_RESOLVE_RUNS'] ?? 25);

describe('resolve and the kernel lookup against the evaluator', () => {
  // 25 runs look at some 100,000 packets per mode; the nightly run raises the number.
  it.each(['live', 'all'] as const)('agree on every packet of generated policies and clusters (%s policies)', (policies) => {
    let tuples = 0;
    fc.assert(
      fc.property(arbitraryPolicies, arbitraryFacts, (set, facts) => {
        const node = resolveNode(set, facts, 'n1', { policies });
        const compared = compareNode(set, facts, node, PACKETS, policies);
        tuples += compared.tuples;
        expect(compared.differences.slice(0, 3)).toEqual([]);
      }),
      { seed: SEED, numRuns: RUNS },
    );
    expect(tuples).toBeGreaterThan(10_000);
  }, 30_000 + RUNS * 500);
});
