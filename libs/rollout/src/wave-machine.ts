/** The life of one wave (trust-and-fleet §3): PENDING → OPEN → BAKING → PASSED | FAILED. */

import { evaluateGate, type GateInput, type GatePolicy, type GateVerdict } from './gate.ts';

export const WAVE_STATES = ['pending', 'open', 'baking', 'passed', 'failed'] as const;
export type WaveState = (typeof WAVE_STATES)[number];

export interface WaveProgress {
  readonly state: WaveState;
  readonly openedAtMs: number | null;
  readonly bakingSinceMs: number | null;
}

export type WaveEvent =
  | { readonly kind: 'open' }
  /** Counts were read again; the gate decides what follows. */
  | { readonly kind: 'evaluate'; readonly input: Omit<GateInput, 'bakedMs'>; readonly policy: GatePolicy }
  | { readonly kind: 'fail' };

export interface WaveTransition {
  readonly progress: WaveProgress;
  /** Present after an evaluation: why the wave moved, waits or asks for a pause. */
  readonly gate: GateVerdict | null;
}

/** The wave's next progress; events that are not legal in its state change nothing. */
export function transitionWave(wave: WaveProgress, event: WaveEvent, nowMs: number): WaveTransition {
  switch (event.kind) {
    case 'open':
      return wave.state === 'pending' ? { progress: { state: 'open', openedAtMs: nowMs, bakingSinceMs: null }, gate: null } : { progress: wave, gate: null };
    case 'fail':
      return wave.state === 'open' || wave.state === 'baking' ? { progress: { ...wave, state: 'failed' }, gate: null } : { progress: wave, gate: null };
    case 'evaluate':
      return wave.state === 'open' || wave.state === 'baking' ? evaluate(wave, event, nowMs) : { progress: wave, gate: null };
  }
}

function evaluate(wave: WaveProgress, event: Extract<WaveEvent, { kind: 'evaluate' }>, nowMs: number): WaveTransition {
  const bakedMs = wave.bakingSinceMs === null ? null : nowMs - wave.bakingSinceMs;
  const gate = evaluateGate({ ...event.input, bakedMs }, event.policy);
  if (gate.outcome === 'pass') return { progress: { ...wave, state: 'passed' }, gate };
  if (gate.outcome === 'fail') return { progress: { ...wave, state: 'failed' }, gate };
  if (gate.outcome === 'bake' && wave.state === 'open') return { progress: { ...wave, state: 'baking', bakingSinceMs: nowMs }, gate };
  // A wave whose settled nodes were offered again starts its bake anew.
  if (gate.outcome === 'wait' && wave.state === 'baking') return { progress: { ...wave, state: 'open', bakingSinceMs: null }, gate };
  return { progress: wave, gate };
}
