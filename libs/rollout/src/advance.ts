/** What a running rollout does next, from what is stored: the one place that connects rollout, waves and gates. */

import type { DenyDelta } from './deny-delta.ts';
import type { GatePolicy, NodeCounts } from './gate.ts';
import { mayOpenWave, type MaintenanceWindow } from './maintenance-window.ts';
import type { RolloutState } from './rollout-machine.ts';
import { transitionWave, type WaveProgress } from './wave-machine.ts';

export interface WaveSnapshot extends WaveProgress {
  readonly index: number;
  readonly counts: NodeCounts;
  readonly denyDelta: DenyDelta | null;
}

export interface RolloutSnapshot {
  readonly state: RolloutState;
  readonly gate: GatePolicy;
  readonly windows: readonly MaintenanceWindow[];
  /** In order. */
  readonly waves: readonly WaveSnapshot[];
}

export type AdvanceDecision =
  | { readonly kind: 'open-wave'; readonly index: number }
  | { readonly kind: 'store-wave'; readonly index: number; readonly progress: WaveProgress; readonly reason: string }
  | { readonly kind: 'pause'; readonly reason: string }
  | { readonly kind: 'halt'; readonly reason: string }
  | { readonly kind: 'succeed' };

/**
 * At most one step at a time, so that each is stored as one compare-and-swap and a worker that dies between two steps
 * resumes at the second. An empty list means: wait for a report, the clock or a person.
 */
export function advanceRollout(rollout: RolloutSnapshot, nowMs: number): readonly AdvanceDecision[] {
  if (rollout.state !== 'running') return [];
  const current = rollout.waves.find((wave) => wave.state !== 'passed');
  if (current === undefined) return [{ kind: 'succeed' }];
  if (current.state === 'pending') return mayOpenWave(rollout.windows, nowMs) ? [{ kind: 'open-wave', index: current.index }] : [];
  if (current.state === 'failed') return [{ kind: 'halt', reason: `Wave ${current.index} failed.` }];
  const { progress, gate } = transitionWave(current, { kind: 'evaluate', input: { counts: current.counts, denyDelta: current.denyDelta }, policy: rollout.gate }, nowMs);
  const reason = gate?.reason ?? '';
  const stored: AdvanceDecision[] = progress.state === current.state ? [] : [{ kind: 'store-wave', index: current.index, progress, reason }];
  if (gate?.outcome === 'fail') return [...stored, { kind: 'halt', reason: `Wave ${current.index}: ${reason}` }];
  if (gate?.outcome === 'pause') return [{ kind: 'pause', reason: `Wave ${current.index}: ${reason}` }];
  return stored;
}
