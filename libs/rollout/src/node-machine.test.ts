import { describe, expect, it } from 'vitest';
import { NODE_ROLLOUT_STATES, transitionNode, type NodeEvent, type NodeProgress, type NodeReport, type NodeRolloutState } from './node-machine.ts';

const TARGET = { generation: { epoch: 1, n: 5 }, contentDigest: 'new' };
const LEASE_MS = 1000;
const NOW = 10_000;

function report(change: Partial<NodeReport>): NodeReport {
  return { generation: { epoch: 1, n: 4 }, contentDigest: 'old', state: 'healthy', subjectGeneration: null, reason: '', ...change };
}

const SUBJECT = TARGET.generation;
const REPORTS = {
  old: report({}),
  verified: report({ state: 'verified', subjectGeneration: SUBJECT }),
  loaded: report({ state: 'loaded', generation: SUBJECT, contentDigest: 'new' }),
  healthy: report({ state: 'healthy', generation: SUBJECT, contentDigest: 'new' }),
  failed: report({ state: 'failed', subjectGeneration: SUBJECT, reason: 'verifier says no' }),
  reverted: report({ state: 'reverted', subjectGeneration: SUBJECT, reason: 'probe failed' }),
  lying: report({ state: 'healthy', generation: SUBJECT, contentDigest: 'old' }),
};

type Column = keyof typeof REPORTS | 'offer' | 'tick-early' | 'tick-late' | 'skip' | 'quarantine' | 'withdraw' | 'supersede';

const stay = 'stay';
/** Every state against every event; `stay` = recorded, never applied. */
const TABLE: Record<NodeRolloutState, Record<Column, NodeRolloutState | 'stay'>> = {
  pending: { old: stay, verified: stay, loaded: stay, healthy: stay, failed: stay, reverted: stay, lying: stay, offer: 'offered', 'tick-early': stay, 'tick-late': stay, skip: 'skipped_offline', quarantine: 'skipped_offline', withdraw: stay, supersede: 'superseded' },
  offered: { old: stay, verified: 'verified', loaded: 'loaded', healthy: 'healthy', failed: 'failed', reverted: 'reverted', lying: 'failed', offer: stay, 'tick-early': stay, 'tick-late': 'timed_out', skip: stay, quarantine: 'skipped_offline', withdraw: 'pending', supersede: 'superseded' },
  verified: { old: stay, verified: stay, loaded: 'loaded', healthy: 'healthy', failed: 'failed', reverted: 'reverted', lying: 'failed', offer: stay, 'tick-early': stay, 'tick-late': 'timed_out', skip: stay, quarantine: 'skipped_offline', withdraw: stay, supersede: 'superseded' },
  loaded: { old: stay, verified: stay, loaded: stay, healthy: 'healthy', failed: 'failed', reverted: 'reverted', lying: 'failed', offer: stay, 'tick-early': stay, 'tick-late': 'timed_out', skip: stay, quarantine: 'skipped_offline', withdraw: stay, supersede: 'superseded' },
  healthy: { old: stay, verified: stay, loaded: stay, healthy: stay, failed: 'failed', reverted: 'reverted', lying: 'failed', offer: stay, 'tick-early': stay, 'tick-late': stay, skip: stay, quarantine: stay, withdraw: stay, supersede: stay },
  failed: { old: stay, verified: stay, loaded: stay, healthy: stay, failed: stay, reverted: stay, lying: stay, offer: stay, 'tick-early': stay, 'tick-late': stay, skip: stay, quarantine: stay, withdraw: stay, supersede: stay },
  timed_out: { old: stay, verified: stay, loaded: stay, healthy: stay, failed: stay, reverted: stay, lying: stay, offer: 'offered', 'tick-early': stay, 'tick-late': stay, skip: stay, quarantine: 'skipped_offline', withdraw: stay, supersede: stay },
  reverted: { old: stay, verified: stay, loaded: stay, healthy: stay, failed: stay, reverted: stay, lying: stay, offer: stay, 'tick-early': stay, 'tick-late': stay, skip: stay, quarantine: stay, withdraw: stay, supersede: stay },
  skipped_offline: { old: stay, verified: stay, loaded: stay, healthy: stay, failed: stay, reverted: stay, lying: stay, offer: stay, 'tick-early': stay, 'tick-late': stay, skip: stay, quarantine: stay, withdraw: stay, supersede: stay },
  superseded: { old: stay, verified: stay, loaded: stay, healthy: stay, failed: stay, reverted: stay, lying: stay, offer: stay, 'tick-early': stay, 'tick-late': stay, skip: stay, quarantine: stay, withdraw: stay, supersede: stay },
};

function run(state: NodeRolloutState, column: Column) {
  const inFlight = state === 'offered' || state === 'verified' || state === 'loaded';
  const node: NodeProgress = { state, leaseUntilMs: inFlight ? NOW + LEASE_MS : null, reason: null };
  const events: Partial<Record<Column, NodeEvent>> = {
    offer: { kind: 'offer', leaseMs: LEASE_MS },
    'tick-early': { kind: 'tick' },
    'tick-late': { kind: 'tick' },
    skip: { kind: 'skip-offline' },
    quarantine: { kind: 'quarantine', state: 'locked' },
    withdraw: { kind: 'withdraw' },
    supersede: { kind: 'supersede' },
  };
  const event = events[column] ?? { kind: 'report', report: REPORTS[column as keyof typeof REPORTS], target: TARGET, leaseMs: LEASE_MS };
  return { node, result: transitionNode(node, event, column === 'tick-late' ? NOW + LEASE_MS : NOW) };
}

describe('transitionNode', () => {
  for (const state of NODE_ROLLOUT_STATES) {
    for (const [column, expected] of Object.entries(TABLE[state]) as [Column, NodeRolloutState | 'stay'][]) {
      it(expected === stay ? `keeps ${state} on ${column} and records it` : `takes ${state} to ${expected} on ${column}`, () => {
        const { node, result } = run(state, column);
        if (expected === stay) {
          expect(result.progress).toEqual(node);
          expect(result.decisions).toEqual([{ kind: 'record-only', why: expect.any(String) }]);
        } else {
          expect(result.progress.state).toBe(expected);
          expect(result.decisions).toEqual([]);
        }
      });
    }
  }

  it('keeps the reason in the words of the node', () => {
    expect(run('offered', 'failed').result.progress.reason).toBe('verifier says no');
  });

  it('says why a quarantined node is left out, and lets its lease go', () => {
    expect(run('offered', 'quarantine').result.progress).toEqual({ state: 'skipped_offline', leaseUntilMs: null, reason: expect.stringContaining('locked') });
  });

  it('names both digests when a node claims health with content that was not offered', () => {
    expect(run('offered', 'lying').result.progress.reason).toMatch(/runs digest old .* signed content is new/);
  });

  it('extends the lease with every step forward and ends it at health', () => {
    expect(run('offered', 'verified').result.progress.leaseUntilMs).toBe(NOW + LEASE_MS);
    expect(run('loaded', 'healthy').result.progress.leaseUntilMs).toBeNull();
  });

  it('does not take a running older epoch with the same number for the target', () => {
    const old = report({ generation: { epoch: 0, n: 5 }, contentDigest: 'new', state: 'healthy' });
    const node: NodeProgress = { state: 'offered', leaseUntilMs: NOW + LEASE_MS, reason: null };
    expect(transitionNode(node, { kind: 'report', report: old, target: TARGET, leaseMs: LEASE_MS }, NOW).progress.state).toBe('offered');
  });
});
