import { describe, expect, it } from 'vitest';
import { finished, FoldedEdges, mixed, textHash } from './folded-edges.ts';

/** Edges as PostgreSQL's sums have them: small numbers that hardly differ. */
function edge(number: number): number {
  return finished(mixed(mixed(mixed(textHash('tenant'), number >> 8), number & 255), 443));
}

function foldedOf(from: number, to: number): FoldedEdges {
  const folded = new FoldedEdges();
  for (let number = from; number < to; number++) folded.add(edge(number));
  return folded;
}

describe('folded edges', () => {
  it.each([0, 1, 10, 100, 1_000, 10_000, 20_000, 100_000, 1_000_000])('are estimated within five percent: %i', (count) => {
    const { edges } = foldedOf(0, count);
    expect(Math.abs(edges - count)).toBeLessThanOrEqual(count * 0.05);
  });

  it('count once however often their flows come; flows count each time', () => {
    const folded = foldedOf(0, 500);
    const before = folded.edges;
    for (let again = 0; again < 20; again++) for (let number = 0; number < 500; number++) folded.add(edge(number));
    expect(folded).toMatchObject({ edges: before, rows: 10_500 });
  });

  it('of several commits are put together', () => {
    const folded = foldedOf(0, 3_000);
    folded.merge(foldedOf(2_000, 5_000));
    expect(folded).toMatchObject({ rows: 6_000, edges: foldedOf(0, 5_000).edges });
  });

  it('spread texts that differ in one letter', () => {
    const folded = new FoldedEdges();
    for (let number = 0; number < 50_000; number++) folded.add(finished(textHash(`c {"workload":"app-${number}"} {"workload":"db"} 443`)));
    expect(Math.abs(folded.edges - 50_000)).toBeLessThanOrEqual(2_500);
  });
});
