import { describe, expect, it } from 'vitest';
import { ACTIVE_ROLLOUT_STATES, FINAL_ROLLOUT_STATES, ROLLOUT_STATES, transitionRollout, type RolloutEvent, type RolloutState } from './rollout-machine.ts';

const EVENTS: readonly RolloutEvent[] = [
  { kind: 'validate' },
  { kind: 'validated' },
  { kind: 'validation-failed', reason: 'r' },
  { kind: 'start' },
  { kind: 'pause', reason: 'r' },
  { kind: 'resume' },
  { kind: 'halt', reason: 'r' },
  { kind: 'waves-passed' },
  { kind: 'roll-back' },
  { kind: 'rolled-back' },
  { kind: 'supersede' },
  { kind: 'cancel' },
];

/** The whole table, written out: state → event → next. What is absent is refused. */
const TABLE: Readonly<Record<RolloutState, Readonly<Partial<Record<RolloutEvent['kind'], RolloutState>>>>> = {
  draft: { validate: 'validating', halt: 'halted', supersede: 'superseded', cancel: 'canceled' },
  validating: { validated: 'ready', 'validation-failed': 'halted', halt: 'halted', supersede: 'superseded', cancel: 'canceled' },
  ready: { start: 'running', halt: 'halted', supersede: 'superseded', cancel: 'canceled' },
  running: { pause: 'paused', halt: 'halted', 'waves-passed': 'succeeded', 'roll-back': 'rolling_back', supersede: 'superseded' },
  paused: { resume: 'running', halt: 'halted', 'roll-back': 'rolling_back', supersede: 'superseded' },
  succeeded: { 'roll-back': 'rolling_back' },
  halted: { 'roll-back': 'rolling_back', supersede: 'superseded' },
  rolling_back: { 'rolled-back': 'rolled_back', halt: 'halted' },
  rolled_back: {},
  superseded: {},
  canceled: {},
};

describe('transitionRollout', () => {
  for (const state of ROLLOUT_STATES) {
    for (const event of EVENTS) {
      const next = TABLE[state][event.kind];
      it(next === undefined ? `refuses ${event.kind} when ${state}` : `takes ${state} to ${next} on ${event.kind}`, () => {
        const result = transitionRollout(state, event);
        expect(result.ok ? result.state : undefined).toBe(next);
      });
    }
  }

  it('halts from every state that is not terminal and withdraws the offers', () => {
    for (const state of [...ACTIVE_ROLLOUT_STATES, 'rolling_back'] as const) {
      const result = transitionRollout(state, { kind: 'halt', reason: 'stop' });
      expect(result).toMatchObject({ ok: true, state: 'halted', reason: 'stop' });
      expect(result.ok && result.decisions).toContainEqual({ kind: 'withdraw-offers' });
    }
  });

  it('never leaves a final state', () => {
    for (const state of FINAL_ROLLOUT_STATES) for (const event of EVENTS) expect(transitionRollout(state, event).ok).toBe(false);
  });

  it('says from where an event is legal', () => {
    expect(transitionRollout('succeeded', { kind: 'resume' })).toEqual({ ok: false, refusal: expect.stringContaining('legal from: paused') });
  });
});
