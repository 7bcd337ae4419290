import type { NodeOrders } from '@palisade/control';
import { beforeEach, describe, expect, it } from 'vitest';
import { NodeAdmission } from './node-admission.ts';

const states = new Map<string, NodeOrders['nodeState']>();
let asked: (readonly string[])[];
let nowMs: number;
let admission: NodeAdmission;

beforeEach(() => {
  states.clear();
  asked = [];
  nowMs = 1_000;
  const orders = async (_tenant: string, nodes: readonly string[]): Promise<ReadonlyMap<string, NodeOrders>> => {
    asked.push(nodes);
    return new Map(nodes.flatMap((id) => (states.has(id) ? [[id, { nodeState: states.get(id) ?? 'active', desired: null }] as const] : [])));
  };
  admission = new NodeAdmission({ orders }, () => nowMs);
});

const admit = (nodeId: string, tenantId = 't'): Promise<void> => admission.admit({ tenantId, nodeId });

describe('admission of a node', () => {
  it('asks once for all that come together, and not again for a while', async () => {
    for (const id of ['a', 'b', 'c']) states.set(id, 'active');
    await Promise.all([admit('a'), admit('b'), admit('c', 'other')]);
    await admit('a');
    expect(asked).toEqual([['a', 'b'], ['c']]);
  });
  it('ends five seconds after the node was revoked, and begins with the next request after it was let in again', async () => {
    states.set('a', 'active');
    await admit('a');
    states.set('a', 'revoked');
    nowMs += 4_999;
    await admit('a');
    nowMs += 1;
    await expect(admit('a')).rejects.toMatchObject({ code: 'auth.forbidden' });
    states.set('a', 'active');
    await admit('a');
  });
  it.each([['locked', 'auth.forbidden'], ['suspended', 'auth.forbidden']] as const)('refuses one that is %s', async (state, code) => {
    states.set('a', state);
    await expect(admit('a')).rejects.toMatchObject({ code });
  });
  it('refuses one that nobody knows', async () => {
    await expect(admit('x')).rejects.toMatchObject({ code: 'auth.unauthenticated' });
  });
});
