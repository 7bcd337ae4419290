import { columnsOf, type FlowRecord } from '@palisade/flow';
import { parseTenantId } from '@palisade/tenancy';
import { describe, expect, it } from 'vitest';
import { FlowQuotas, NO_FLOW_QUOTA, type FlowQuota } from './flow-quotas.ts';
import type { SentFlowBatch } from './flow-store.ts';

const LOUD = parseTenantId('00000000-0000-7000-8000-000000000001');
const QUIET = parseTenantId('00000000-0000-7000-8000-000000000002');
const NOON = Date.UTC(2026, 0, 1, 12);

const flow: FlowRecord = {
  event: 'delta', source: { address: '10.0.0.1', port: 1, identity: 1, labels: [] }, destination: { address: '10.0.0.2', port: 2, identity: 2, labels: [] }, protocol: 6, direction: 'egress', node: 'n',
  verdict: 'forwarded', policies: [], isReply: false, packets: 1, bytes: 1, replyPackets: 0, replyBytes: 0, firstSeenUs: 1, lastSeenUs: 1, tcpFlags: 0, generation: '', policyRevision: 0, identityRevision: 0, origin: 'ebpf', weight: 1,
};

function sent(tenantId: typeof LOUD, rows: number, wireBytes = 0): SentFlowBatch {
  return {
    sender: { tenantId, clusterId: 'c', nodeId: 'n' }, wireBytes,
    batch: { bootId: 'b', seq: 1, windowStartUs: 1, windowEndUs: 1, account: { seen: rows, exported: rows, sampled: 0, dropped: {} }, columns: columnsOf(new Array<FlowRecord>(rows).fill(flow)) },
  };
}

function quotas(quota: Partial<FlowQuota>): { quotas: FlowQuotas; pass: (ms: number) => void } {
  let nowMs = NOON;
  return { quotas: new FlowQuotas(() => ({ ...NO_FLOW_QUOTA, ...quota }), () => nowMs), pass: (ms) => void (nowMs += ms) };
}

describe('flow quotas', () => {
  it('let ten seconds of flows through at once, then say how long the next batch waits, and let it through then', () => {
    const { quotas: own, pass } = quotas({ flowsPerSecond: 100 });
    expect([own.take(sent(LOUD, 600)), own.take(sent(LOUD, 600))]).toEqual([0, 0]);
    const wait = own.take(sent(LOUD, 600));
    // 200 over, and one to go.
    expect(wait).toBe(2010);
    pass(wait);
    expect(own.take(sent(LOUD, 600))).toBe(0);
  });

  it('hold no tenant to account for another', () => {
    const { quotas: own } = quotas({ flowsPerSecond: 1 });
    own.take(sent(LOUD, 1000));
    expect(own.take(sent(LOUD, 1))).toBeGreaterThan(0);
    expect(own.take(sent(QUIET, 1))).toBe(0);
  });

  it('let the mean rate through and no more, however large the batches', () => {
    const { quotas: own, pass } = quotas({ flowsPerSecond: 100 });
    let taken = 0;
    for (let second = 0; second < 1000; second++, pass(1000)) if (own.take(sent(LOUD, 700)) === 0) taken += 700;
    expect(taken).toBeGreaterThan(99_000);
    expect(taken).toBeLessThanOrEqual(100 * 1000 + 100 * 10 + 700);
  });

  it('hold back what is over the bytes of a day until the day is over, a quarter of an hour at a time', () => {
    const { quotas: own, pass } = quotas({ bytesPerDay: 1000 });
    expect([own.take(sent(LOUD, 1, 900)), own.take(sent(LOUD, 1, 900))]).toEqual([0, 0]);
    expect(own.take(sent(LOUD, 1, 1))).toBe(900_000);
    pass(12 * 3_600_000);
    expect(own.take(sent(LOUD, 1, 900))).toBe(0);
  });

  it('forget what was taken for a batch that was not stored', () => {
    const { quotas: own } = quotas({ flowsPerSecond: 10, bytesPerDay: 100 });
    const batch = sent(LOUD, 200, 100);
    own.take(batch);
    own.giveBack(batch);
    expect(own.take(batch)).toBe(0);
  });

  it('hold nobody back without a quota', () => {
    const { quotas: own } = quotas({});
    for (let count = 0; count < 100; count++) expect(own.take(sent(LOUD, 5000, 1_000_000))).toBe(0);
  });
});
