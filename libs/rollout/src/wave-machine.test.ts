import { describe, expect, it } from 'vitest';
import { DEFAULT_GATE, type GateOutcome, type NodeCounts } from './gate.ts';
import { NODE_ROLLOUT_STATES } from './node-machine.ts';
import { transitionWave, WAVE_STATES, type WaveEvent, type WaveProgress, type WaveState } from './wave-machine.ts';

const NONE = Object.fromEntries(NODE_ROLLOUT_STATES.map((state) => [state, 0])) as unknown as NodeCounts;
const NOW = 1_000_000;
const evaluate = (counts: Partial<NodeCounts>, bakeMs: number = DEFAULT_GATE.bakeMs): WaveEvent => ({ kind: 'evaluate', input: { counts: { ...NONE, ...counts }, denyDelta: null }, policy: { ...DEFAULT_GATE, bakeMs } });

/** One event for every outcome of the gate, and the two that people and the plan bring. */
const EVENTS = {
  open: { kind: 'open' },
  fail: { kind: 'fail' },
  'gate waits': evaluate({ healthy: 1, offered: 1 }),
  'gate bakes': evaluate({ healthy: 2 }),
  'gate passes': evaluate({ healthy: 2 }, 0),
  'gate fails': evaluate({ healthy: 1, failed: 1 }),
  'gate pauses': evaluate({ timed_out: 1 }),
} as const satisfies Record<string, WaveEvent>;
type Column = keyof typeof EVENTS;

const stay = 'stay';
/** Every state against every event. A baking wave has baked for no time yet; `gate passes` asks for none. */
const TABLE: Readonly<Record<WaveState, Readonly<Record<Column, WaveState | 'stay'>>>> = {
  pending: { open: 'open', fail: stay, 'gate waits': stay, 'gate bakes': stay, 'gate passes': stay, 'gate fails': stay, 'gate pauses': stay },
  open: { open: stay, fail: 'failed', 'gate waits': stay, 'gate bakes': 'baking', 'gate passes': 'baking', 'gate fails': 'failed', 'gate pauses': stay },
  baking: { open: stay, fail: 'failed', 'gate waits': 'open', 'gate bakes': stay, 'gate passes': 'passed', 'gate fails': 'failed', 'gate pauses': stay },
  passed: { open: stay, fail: stay, 'gate waits': stay, 'gate bakes': stay, 'gate passes': stay, 'gate fails': stay, 'gate pauses': stay },
  failed: { open: stay, fail: stay, 'gate waits': stay, 'gate bakes': stay, 'gate passes': stay, 'gate fails': stay, 'gate pauses': stay },
};

const progressOf = (state: WaveState): WaveProgress => ({ state, openedAtMs: state === 'pending' ? null : 1, bakingSinceMs: state === 'baking' ? NOW : null });

describe('transitionWave', () => {
  for (const state of WAVE_STATES) {
    for (const [column, expected] of Object.entries(TABLE[state]) as [Column, WaveState | 'stay'][]) {
      it(expected === stay ? `keeps ${state} when: ${column}` : `takes ${state} to ${expected} when: ${column}`, () => {
        const { progress } = transitionWave(progressOf(state), EVENTS[column], NOW);
        expect(progress.state).toBe(expected === stay ? state : expected);
        if (expected === stay) expect(progress).toEqual(progressOf(state));
      });
    }
  }

  it('notes when it opened and since when it bakes, and begins the bake anew after it was interrupted', () => {
    const opened = transitionWave(progressOf('pending'), EVENTS.open, NOW).progress;
    expect(opened).toEqual({ state: 'open', openedAtMs: NOW, bakingSinceMs: null });
    const baking = transitionWave(opened, EVENTS['gate bakes'], NOW + 5).progress;
    expect(baking).toEqual({ state: 'baking', openedAtMs: NOW, bakingSinceMs: NOW + 5 });
    expect(transitionWave(baking, EVENTS['gate waits'], NOW + 6).progress).toEqual({ state: 'open', openedAtMs: NOW, bakingSinceMs: null });
    expect(transitionWave(baking, EVENTS['gate bakes'], NOW + 4 + DEFAULT_GATE.bakeMs).progress.state).toBe('baking');
    expect(transitionWave(baking, EVENTS['gate bakes'], NOW + 5 + DEFAULT_GATE.bakeMs).progress.state).toBe('passed');
  });

  it('says what the gate said, while it is evaluated', () => {
    const outcome = (state: WaveState, column: Column): GateOutcome | undefined => transitionWave(progressOf(state), EVENTS[column], NOW).gate?.outcome;
    expect(outcome('open', 'gate pauses')).toBe('pause');
    expect(outcome('open', 'gate fails')).toBe('fail');
    expect(outcome('passed', 'gate fails')).toBeUndefined();
  });
});
