import type { AgentDesk, DesiredGeneration, NodeOrders } from '@palisade/control';
import { CheckInResponseSchema, decodeMessage, type CheckInRequest, type CheckInResponse } from '@palisade/protocol';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CheckInDesk } from './check-in-desk.ts';

const DESIRED: DesiredGeneration = { epoch: 1, n: 2, contentDigest: 'a'.repeat(64), manifestSha256: 'b'.repeat(64), assignmentId: 'as', leafIndex: 3, proof: new Uint8Array(64).fill(7) };
const NODE = { tenantId: 't', clusterId: 'c', nodeId: 'n', serial: '1', notAfterMs: Date.now() + 3_600_000 };
const REQUEST = { ackToken: '', bootId: 'b', holdMs: 60_000, endpointReport: new Uint8Array(), observation: new Uint8Array(), results: [] } as unknown as CheckInRequest;

let desk: CheckInDesk;
afterEach(() => desk.close());

function world(orders: NodeOrders) {
  const state = { orders, identityRevision: 5, reviews: 0 };
  const agents = {
    checkIn: async () => new Map([['n', state.orders]]),
    orders: async () => {
      state.reviews += 1;
      return new Map([['n', state.orders]]);
    },
    identityRevision: async () => state.identityRevision,
    epoch: async () => 1,
    recovery: async () => undefined,
    assignment: async () => Buffer.from('envelope'),
    metadata: async () => ({ version: 4, bytes: new Uint8Array() }),
  } as unknown as AgentDesk;
  desk = new CheckInDesk({ desk: agents, checkInLimit: 10, holdLimitMs: 60_000 });
  return state;
}

/** Checks in and keeps the answer, whenever it comes. */
function checkIn(change: Partial<CheckInRequest> = {}, node = NODE) {
  const result: { answer?: CheckInResponse; error?: unknown; giveUp?: (() => void) | undefined } = {};
  const done = desk
    .take(node, { ...REQUEST, ...change }, { send: (body) => (result.answer = decodeMessage(CheckInResponseSchema, body)), fail: (error) => (result.error = error) })
    .then((giveUp) => void (result.giveUp = giveUp), (error: unknown) => void (result.error = error));
  return { result, done };
}

async function token(): Promise<string> {
  const { result, done } = checkIn();
  await done;
  return result.answer!.ackToken;
}

describe('CheckInDesk', () => {
  it('refuses the nodes of a suspended tenant, also those that wait', async () => {
    const state = world({ nodeState: 'active', desired: null });
    const waiting = checkIn({ ackToken: await token() });
    await waiting.done;
    state.orders = { nodeState: 'suspended', desired: null };
    const { result, done } = checkIn({}, { ...NODE, nodeId: 'n' });
    await done;
    expect(result.error).toMatchObject({ code: 'auth.forbidden', message: expect.stringContaining('suspended') });
    desk.stirAll();
    await vi.waitFor(() => expect(waiting.result.error).toMatchObject({ code: 'auth.forbidden' }));
  });

  it('answers at once what the node has not acknowledged, with assignment and audit path', async () => {
    world({ nodeState: 'active', desired: DESIRED });
    const { result, done } = checkIn();
    await done;
    expect(result.answer).toMatchObject({ identityRevision: 5n, rootVersion: 4n, desired: { generation: { epoch: 1n, n: 2n }, leafIndex: 3n, contentDigest: DESIRED.contentDigest } });
    expect(result.answer?.desired?.assignmentPath.map((part) => part.byteLength)).toEqual([32, 32]);
  });

  it('holds a node that knows everything, and answers it when it is to run something else', async () => {
    const state = world({ nodeState: 'active', desired: null });
    const { result, done } = checkIn({ ackToken: await token() });
    await done;
    expect(result.answer).toBeUndefined();
    expect(desk.figures().held).toBe(1);
    state.orders = { nodeState: 'active', desired: DESIRED };
    desk.stir('t', 'c');
    await vi.waitFor(() => expect(result.answer?.desired?.generation?.n).toBe(2n));
    expect(desk.figures().held).toBe(0);
  });

  it('answers it when the identity stream moves', async () => {
    const state = world({ nodeState: 'active', desired: null });
    const { result, done } = checkIn({ ackToken: await token() });
    await done;
    state.identityRevision = 6;
    desk.stir('t', 'c');
    await vi.waitFor(() => expect(result.answer?.identityRevision).toBe(6n));
  });

  it('keeps holding when nothing changed for it', async () => {
    const state = world({ nodeState: 'active', desired: null });
    const { result, done } = checkIn({ ackToken: await token() });
    await done;
    for (const reviews of [1, 2]) {
      desk.stir('t', 'c');
      await vi.waitFor(() => expect(state.reviews).toBe(reviews));
    }
    expect(result.answer).toBeUndefined();
    expect(desk.figures().held).toBe(1);
  });

  it('does not hold when it is asked not to, or when the certificate ends', async () => {
    world({ nodeState: 'active', desired: null });
    const ackToken = await token();
    for (const attempt of [checkIn({ ackToken, holdMs: 0 }), checkIn({ ackToken }, { ...NODE, notAfterMs: Date.now() - 1 })]) {
      await attempt.done;
      expect(attempt.result.answer).toBeDefined();
    }
  });

  it('forgets a node that gives up', async () => {
    world({ nodeState: 'active', desired: null });
    const { result, done } = checkIn({ ackToken: await token() });
    await done;
    result.giveUp?.();
    expect(desk.figures().held).toBe(0);
  });

  it.each([
    ['revoked', { nodeState: 'revoked', desired: null } as const, 'auth.forbidden'],
    ['locked', { nodeState: 'locked', desired: null } as const, 'auth.forbidden'],
  ])('refuses a node that is %s, also one that it holds', async (_what, orders, code) => {
    const state = world({ nodeState: 'active', desired: null });
    const { result, done } = checkIn({ ackToken: await token() });
    await done;
    state.orders = orders;
    desk.stir('t', 'c');
    await vi.waitFor(() => expect(result.error).toMatchObject({ code }));
    const again = checkIn();
    await again.done;
    expect(again.result.error).toMatchObject({ code });
  });

  it('answers what it holds when the process stops', async () => {
    world({ nodeState: 'active', desired: null });
    const { result, done } = checkIn({ ackToken: await token() });
    await done;
    desk.close();
    await vi.waitFor(() => expect(result.answer).toBeDefined());
  });
});
