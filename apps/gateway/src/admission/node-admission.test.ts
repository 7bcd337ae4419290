import type { NodeOrders } from '@palisade/control';
import { beforeEach, describe, expect, it } from 'vitest';
import { NodeAdmission } from './node-admission.ts';

const states = new Map<string, NodeOrders['nodeState']>();
let asked: (readonly string[])[];
let nowMs: number;
/** Runs when the database has read, before its answer arrives. */
let meanwhile: () => void;
let admission: NodeAdmission;

beforeEach(() => {
  states.clear();
  asked = [];
  nowMs = 1_000;
  meanwhile = () => undefined;
  const orders = async (_tenant: string, nodes: readonly string[]): Promise<ReadonlyMap<string, NodeOrders>> => {
    asked.push(nodes);
    const read = new Map(nodes.flatMap((id) => (states.has(id) ? [[id, { nodeState: states.get(id) ?? 'active', desired: null }] as const] : [])));
    meanwhile();
    return read;
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

  it('ends five seconds after it was asked for, when no wake-up says so', async () => {
    states.set('a', 'active');
    await admit('a');
    states.set('a', 'revoked');
    nowMs += 4_999;
    await admit('a');
    nowMs += 1;
    await expect(admit('a')).rejects.toMatchObject({ code: 'auth.forbidden' });
  });

  it('counts from the question, however long the database takes', async () => {
    states.set('a', 'active');
    meanwhile = () => (nowMs += 4_000);
    await admit('a');
    states.set('a', 'revoked');
    nowMs += 1_000;
    await expect(admit('a')).rejects.toMatchObject({ code: 'auth.forbidden' });
  });

  it('ends at once when the tenant is woken, and only for that tenant', async () => {
    states.set('a', 'active').set('b', 'active');
    await admit('a');
    await admit('b', 'other');
    states.set('a', 'revoked').set('b', 'revoked');
    admission.forget('t');
    await expect(admit('a')).rejects.toMatchObject({ code: 'auth.forbidden' });
    await admit('b', 'other');
    admission.forgetAll();
    await expect(admit('b', 'other')).rejects.toMatchObject({ code: 'auth.forbidden' });
  });

  it('does not remember what was read before the wake-up and arrives after it', async () => {
    states.set('a', 'active');
    meanwhile = () => {
      states.set('a', 'revoked');
      admission.forget('t');
    };
    await admit('a');
    meanwhile = () => undefined;
    await expect(admit('a')).rejects.toMatchObject({ code: 'auth.forbidden' });
  });

  it.each(['revoked', 'locked', 'suspended'] as const)('refuses one that is %s, and does not ask for each of its requests', async (state) => {
    states.set('a', state);
    for (let request = 0; request < 100; request += 1) await expect(admit('a')).rejects.toMatchObject({ code: 'auth.forbidden' });
    expect(asked).toHaveLength(1);
  });

  it('begins when the wake-up says that the node was let in again', async () => {
    states.set('a', 'locked');
    await expect(admit('a')).rejects.toMatchObject({ code: 'auth.forbidden' });
    states.set('a', 'active');
    admission.forget('t');
    await admit('a');
  });

  it('refuses one that nobody knows', async () => {
    await expect(admit('x')).rejects.toMatchObject({ code: 'auth.unauthenticated' });
  });

  it('remembers no answer that the database did not give', async () => {
    states.set('a', 'active');
    meanwhile = () => {
      throw new Error('connection lost');
    };
    await expect(admit('a')).rejects.toThrow('connection lost');
    meanwhile = () => undefined;
    await admit('a');
  });
});
