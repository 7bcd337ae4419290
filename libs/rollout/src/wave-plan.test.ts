import { describe, expect, it } from 'vitest';
import { DEFAULT_WAVES, planWaves, type PlannedNode } from './wave-plan.ts';

function fleet(count: number, offline = 0): PlannedNode[] {
  return Array.from({ length: count }, (_, index) => ({ id: `n${index}`, labels: { ring: index % 3 === 0 ? 'early' : 'late' }, online: index >= offline }));
}
const sizes = (count: number) => planWaves(fleet(count), DEFAULT_WAVES, 's').map((wave) => wave.nodeIds.length);

describe('planWaves', () => {
  it('is one canary, 10 %, 50 %, everybody', () => expect(sizes(10_000)).toEqual([1, 999, 4000, 5000]));
  it('collapses small fleets', () => {
    expect(sizes(0)).toEqual([]);
    expect(sizes(1)).toEqual([1]);
    expect(sizes(2)).toEqual([1, 1]);
    expect(sizes(3)).toEqual([1, 1, 1]);
    expect(sizes(10)).toEqual([1, 4, 5]);
  });
  it('places every node exactly once, whatever the order it is given in', () => {
    const nodes = fleet(101);
    const plan = planWaves(nodes, DEFAULT_WAVES, 's');
    expect(plan.flatMap((wave) => wave.nodeIds).sort()).toEqual(nodes.map((node) => node.id).sort());
    expect(planWaves([...nodes].reverse(), DEFAULT_WAVES, 's')).toEqual(plan);
  });
  it('takes an online canary and another one for another seed', () => {
    expect(planWaves(fleet(20, 19), DEFAULT_WAVES, 's')[0]?.nodeIds).toEqual(['n19']);
    const canaries = new Set(Array.from({ length: 20 }, (_, seed) => planWaves(fleet(50), DEFAULT_WAVES, String(seed))[0]?.nodeIds[0]));
    expect(canaries.size).toBeGreaterThan(5);
  });
  it('adds a last wave when the sizes do not reach everybody', () => {
    expect(planWaves(fleet(10), { kind: 'sizes', sizes: [{ nodes: 2 }] }, 's').map((wave) => wave.nodeIds.length)).toEqual([2, 8]);
  });
  it('puts nodes in the first ring that matches and the rest last', () => {
    const plan = planWaves(fleet(9), { kind: 'rings', rings: [{ name: 'early', matchLabels: { ring: 'early' } }, { name: 'none', matchLabels: { ring: 'x' } }] }, 's');
    expect(plan.map((wave) => [wave.name, wave.nodeIds.length])).toEqual([['early', 3], ['rest', 6]]);
  });
});
