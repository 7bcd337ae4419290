import type { AgentDesk, CheckInRecord, NodeOrders } from '@palisade/control';
import { describe, expect, it } from 'vitest';
import { CheckInBatcher } from './check-in-batcher.ts';

const ORDERS: NodeOrders = { nodeState: 'active', desired: null };
const record = (nodeId: string): CheckInRecord => ({ nodeId }) as CheckInRecord;

/** A desk that keeps what it is given and answers when told to. */
function deskThatWaits() {
  const batches: { tenantId: string; nodes: string[]; answer: () => void; fail: (error: Error) => void }[] = [];
  const checkIn = (tenantId: string, records: readonly CheckInRecord[]) =>
    new Promise<ReadonlyMap<string, NodeOrders>>((resolve, reject) => {
      const nodes = records.map(({ nodeId }) => nodeId);
      batches.push({ tenantId, nodes, answer: () => resolve(new Map(nodes.map((node) => [node, ORDERS]))), fail: reject });
    });
  return { batches, desk: { checkIn } as unknown as AgentDesk };
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

describe('CheckInBatcher', () => {
  it('stores what arrives together in one batch of a tenant', async () => {
    const { batches, desk } = deskThatWaits();
    const batcher = new CheckInBatcher(desk, 10);
    const answers = ['a', 'b', 'c'].map((node) => batcher.submit('t1', record(node)));
    void batcher.submit('t2', record('x'));
    await turn();
    expect(batches.map(({ tenantId, nodes }) => [tenantId, nodes])).toEqual([['t1', ['a', 'b', 'c']], ['t2', ['x']]]);
    batches[0]!.answer();
    expect(await Promise.all(answers)).toEqual([ORDERS, ORDERS, ORDERS]);
  });

  it('never puts a node twice in one batch', async () => {
    const { batches, desk } = deskThatWaits();
    const batcher = new CheckInBatcher(desk, 10);
    for (const node of ['a', 'b', 'a']) void batcher.submit('t', record(node));
    await turn();
    expect(batches.map(({ nodes }) => nodes)).toEqual([['a', 'b'], ['a']]);
  });

  it('refuses more than its limit with a time to come back, and takes more once it has answered', async () => {
    const { batches, desk } = deskThatWaits();
    const batcher = new CheckInBatcher(desk, 2);
    const first = [batcher.submit('t', record('a')), batcher.submit('t', record('b'))];
    expect(() => batcher.submit('t', record('c'))).toThrow(expect.objectContaining({ code: 'service.unavailable', params: { retryAfterSeconds: expect.any(Number) } }));
    await turn();
    batches[0]!.answer();
    await Promise.all(first);
    expect(batcher.waiting).toBe(0);
    expect(() => void batcher.submit('t', record('c'))).not.toThrow();
  });

  it('tells everybody in a failed batch to come back, without the database’s words', async () => {
    const { batches, desk } = deskThatWaits();
    const batcher = new CheckInBatcher(desk, 2);
    const answer = batcher.submit('t', record('a'));
    await turn();
    batches[0]!.fail(new Error('secret detail'));
    await expect(answer).rejects.toMatchObject({ code: 'service.unavailable', message: expect.not.stringContaining('secret') });
  });

  it('holds batches back while it is paused', async () => {
    const { batches, desk } = deskThatWaits();
    const batcher = new CheckInBatcher(desk, 2);
    batcher.pause();
    void batcher.submit('t', record('a'));
    await turn();
    expect(batches).toEqual([]);
    batcher.resume();
    expect(batches).toHaveLength(1);
  });
});
