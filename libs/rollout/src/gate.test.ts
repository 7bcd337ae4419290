import { describe, expect, it } from 'vitest';
import { denyDelta, type DenyDelta } from './deny-delta.ts';
import { DEFAULT_GATE, evaluateGate, type GatePolicy, type NodeCounts } from './gate.ts';

const NONE: NodeCounts = { pending: 0, offered: 0, verified: 0, loaded: 0, healthy: 0, failed: 0, timed_out: 0, reverted: 0, skipped_offline: 0, superseded: 0 };
const BAKED = DEFAULT_GATE.bakeMs;

function outcome(counts: Partial<NodeCounts>, bakedMs: number | null = BAKED, policy: Partial<GatePolicy> = {}, delta: DenyDelta | null = null) {
  return evaluateGate({ counts: { ...NONE, ...counts }, bakedMs, denyDelta: delta }, { ...DEFAULT_GATE, ...policy }).outcome;
}

describe('evaluateGate', () => {
  it('passes when everything is healthy and the bake time is over', () => expect(outcome({ healthy: 100 })).toBe('pass'));
  it('bakes before that', () => {
    expect(outcome({ healthy: 100 }, null)).toBe('bake');
    expect(outcome({ healthy: 100 }, BAKED - 1)).toBe('bake');
  });
  it('waits while nodes are under way', () => expect(outcome({ healthy: 50, offered: 50 })).toBe('wait'));
  it('counts nodes that have not spoken as unknown, at the border of U', () => {
    expect(outcome({ healthy: 95, loaded: 5 })).toBe('pass');
    expect(outcome({ healthy: 94, loaded: 6 })).toBe('wait');
  });
  it('pauses when too many went silent, however many are healthy', () => expect(outcome({ healthy: 94, timed_out: 6 })).toBe('pause'));
  it('pauses on a silent canary', () => expect(outcome({ timed_out: 1 })).toBe('pause'));
  it('fails on one failed or reverted node by default, also during the bake', () => {
    expect(outcome({ healthy: 99, failed: 1 })).toBe('fail');
    expect(outcome({ healthy: 99, reverted: 1 }, 1)).toBe('fail');
  });
  it('tolerates failures up to E', () => {
    expect(outcome({ healthy: 99, failed: 1 }, BAKED, { maxFailed: 0.01 })).toBe('pass');
    expect(outcome({ healthy: 98, failed: 2 }, BAKED, { maxFailed: 0.01 })).toBe('fail');
  });
  it('waits for the minimum sample, which never exceeds the wave', () => {
    expect(outcome({ healthy: 4, offered: 0, timed_out: 1 }, BAKED, { minSample: 5, maxUnknown: 0.5, minHealthy: 0.5 })).toBe('wait');
    expect(outcome({ healthy: 1 }, BAKED, { minSample: 5 })).toBe('pass');
  });
  it('pauses when every node settled and too few are healthy', () => expect(outcome({ healthy: 9, failed: 1 }, BAKED, { maxFailed: 0.5 })).toBe('pause'));
  it('skips offline nodes under the cap and pauses above it', () => {
    expect(outcome({ healthy: 8, skipped_offline: 2 })).toBe('pass');
    expect(outcome({ healthy: 7, skipped_offline: 3 })).toBe('pause');
  });
  it('pauses on counts that cannot be', () => {
    expect(outcome({ healthy: Number.NaN })).toBe('pause');
    expect(outcome({ healthy: -1 })).toBe('pause');
  });
  it('fails on too many new denials and pauses when they could not be measured', () => {
    expect(outcome({ healthy: 10 }, BAKED, { maxDenyDelta: 1 }, { kind: 'measured', perNodePerSecond: 1 })).toBe('pass');
    expect(outcome({ healthy: 10 }, BAKED, { maxDenyDelta: 1 }, { kind: 'measured', perNodePerSecond: 1.1 })).toBe('fail');
    expect(outcome({ healthy: 10 }, BAKED, { maxDenyDelta: 1 }, { kind: 'unmeasured', why: 'x' })).toBe('pause');
    expect(outcome({ healthy: 10 }, BAKED, { maxDenyDelta: 1 }, null)).toBe('pause');
  });
  it('never passes on silence: no mix of counts without health passes', () => {
    for (const state of ['pending', 'offered', 'verified', 'loaded', 'timed_out', 'failed', 'reverted'] as const) expect(outcome({ [state]: 3 })).not.toBe('pass');
  });
});

describe('denyDelta', () => {
  const window = (nodes: number, deniedPackets: number) => ({ nodes, deniedPackets, seconds: 10 });
  it('is the growth of the updated nodes less the growth of the others', () => {
    expect(denyDelta({ updatedBefore: window(2, 20), updatedAfter: window(2, 120), othersBefore: window(4, 40), othersAfter: window(4, 80) })).toEqual({ kind: 'measured', perNodePerSecond: 4 });
  });
  it('does not let a quieter rest of the fleet count against the wave', () => {
    expect(denyDelta({ updatedBefore: window(1, 10), updatedAfter: window(1, 10), othersBefore: window(1, 100), othersAfter: window(1, 0) })).toEqual({ kind: 'measured', perNodePerSecond: 0 });
  });
  it('compares with the own baseline alone when no other node is left', () => {
    expect(denyDelta({ updatedBefore: window(1, 0), updatedAfter: window(1, 50), othersBefore: null, othersAfter: null })).toEqual({ kind: 'measured', perNodePerSecond: 5 });
  });
  it('is unmeasured without a window', () => {
    expect(denyDelta({ updatedBefore: { nodes: 0, deniedPackets: 0, seconds: 0 }, updatedAfter: window(1, 1), othersBefore: null, othersAfter: null }).kind).toBe('unmeasured');
  });
});
