import { describe, expect, it } from 'vitest';
import { SLOTS, planNetwork, preferredSlot, stackId, workloadsOf } from './plan.ts';

describe('the plan of the demo network', () => {
  it('gives two checkouts names and links of their own', () => {
    const [first, second] = ['/a/.state', '/b/.state'].map((dir) => planNetwork(stackId(dir), 0));
    const names = (plan = first) => [plan?.host.interface, plan?.router.namespace, ...(plan?.nodes ?? []).map(({ namespace }) => namespace)];
    expect(new Set([...names(first), ...names(second)]).size).toBe(names(first).length * 2);
  });

  it('keeps interface names within the kernel’s 15 characters', () => {
    const plan = planNetwork(stackId('/a'), 511);
    for (const name of [plan.host.interface, ...workloadsOf(plan).map(({ hostInterface }) => hostInterface)]) {
      expect(name.length).toBeLessThanOrEqual(15);
    }
  });

  it('keeps all of a demo’s shared addresses inside its own /24', () => {
    const plan = planNetwork('abcdef', 300);
    expect(plan.host.range).toBe('198.19.44.0/24');
    for (const address of [plan.host.address, plan.router.address, ...plan.nodes.flatMap((node) => [node.address, node.via])]) {
      expect(address).toMatch(/^198\.19\.44\./);
    }
    expect(preferredSlot('ffffff')).toBeLessThan(SLOTS);
  });
});
