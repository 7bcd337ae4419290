import { describe, expect, it } from 'vitest';
import { advanceRollout, type RolloutSnapshot, type WaveSnapshot } from './advance.ts';
import { DEFAULT_GATE, type NodeCounts } from './gate.ts';
import { ROLLOUT_STATES } from './rollout-machine.ts';
import { transitionWave, WAVE_STATES, type WaveProgress } from './wave-machine.ts';

const NONE: NodeCounts = { pending: 0, offered: 0, verified: 0, loaded: 0, healthy: 0, failed: 0, timed_out: 0, reverted: 0, skipped_offline: 0, superseded: 0 };
const wave = (index: number, state: WaveSnapshot['state'], counts: Partial<NodeCounts> = {}): WaveSnapshot => ({
  index,
  state,
  openedAtMs: state === 'pending' ? null : 0,
  bakingSinceMs: state === 'baking' ? 0 : null,
  counts: { ...NONE, ...counts },
  denyDelta: null,
});
const rollout = (waves: WaveSnapshot[], change: Partial<RolloutSnapshot> = {}): RolloutSnapshot => ({ state: 'running', gate: DEFAULT_GATE, windows: [], waves, ...change });

describe('advanceRollout', () => {
  it('opens the first wave, then waits for its nodes', () => {
    expect(advanceRollout(rollout([wave(0, 'pending'), wave(1, 'pending')]), 0)).toEqual([{ kind: 'open-wave', index: 0 }]);
    expect(advanceRollout(rollout([wave(0, 'open', { offered: 1 }), wave(1, 'pending')]), 0)).toEqual([]);
  });
  it('bakes, passes and only then opens the next', () => {
    expect(advanceRollout(rollout([wave(0, 'open', { healthy: 1 }), wave(1, 'pending')]), 5)).toMatchObject([{ kind: 'store-wave', progress: { state: 'baking', bakingSinceMs: 5 } }]);
    expect(advanceRollout(rollout([wave(0, 'baking', { healthy: 1 })]), DEFAULT_GATE.bakeMs - 1)).toEqual([]);
    expect(advanceRollout(rollout([wave(0, 'baking', { healthy: 1 })]), DEFAULT_GATE.bakeMs)).toMatchObject([{ kind: 'store-wave', progress: { state: 'passed' } }]);
    expect(advanceRollout(rollout([wave(0, 'passed'), wave(1, 'pending')]), 0)).toEqual([{ kind: 'open-wave', index: 1 }]);
    expect(advanceRollout(rollout([wave(0, 'passed'), wave(1, 'passed')]), 0)).toEqual([{ kind: 'succeed' }]);
  });
  it('fails the wave and halts on a failed node', () => {
    expect(advanceRollout(rollout([wave(0, 'open', { failed: 1 })]), 0)).toMatchObject([{ kind: 'store-wave', progress: { state: 'failed' } }, { kind: 'halt' }]);
  });
  it('halts again when only the failed wave was stored before a crash', () => {
    expect(advanceRollout(rollout([wave(0, 'failed', { failed: 1 })]), 0)).toMatchObject([{ kind: 'halt' }]);
  });
  it('pauses when the canary goes silent', () => {
    expect(advanceRollout(rollout([wave(0, 'open', { timed_out: 1 })]), 0)).toMatchObject([{ kind: 'pause' }]);
  });
  it('returns to open when nodes of a baking wave are under way again', () => {
    expect(advanceRollout(rollout([wave(0, 'baking', { offered: 1 })]), 0)).toMatchObject([{ kind: 'store-wave', progress: { state: 'open', bakingSinceMs: null } }]);
  });
  it('opens no wave outside the maintenance window', () => {
    expect(advanceRollout(rollout([wave(0, 'pending')], { windows: [{ days: [], startMinute: 0, durationMinutes: 1 }] }), 0)).toEqual([]);
  });
  it('does nothing unless running', () => {
    const decisions = ROLLOUT_STATES.filter((state) => state !== 'running').flatMap((state) => advanceRollout(rollout([wave(0, 'pending')], { state }), 0));
    expect(decisions).toEqual([]);
  });
});

describe('transitionWave', () => {
  const progress = (state: WaveProgress['state']): WaveProgress => ({ state, openedAtMs: null, bakingSinceMs: null });
  it('opens only from pending and fails only while open or baking', () => {
    for (const state of WAVE_STATES) {
      expect(transitionWave(progress(state), { kind: 'open' }, 1).progress.state).toBe(state === 'pending' ? 'open' : state);
      expect(transitionWave(progress(state), { kind: 'fail' }, 1).progress.state).toBe(state === 'open' || state === 'baking' ? 'failed' : state);
    }
  });
  it('evaluates nothing before it is open or after it is settled', () => {
    for (const state of ['pending', 'passed', 'failed'] as const) {
      const result = transitionWave(progress(state), { kind: 'evaluate', input: { counts: { ...NONE, healthy: 1 }, denyDelta: null }, policy: DEFAULT_GATE }, 1);
      expect(result).toEqual({ progress: progress(state), gate: null });
    }
  });
});
