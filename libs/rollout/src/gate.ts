/**
 * The gate of a wave (trust-and-fleet §3):
 * n ≥ min_sample AND healthy% ≥ S AND failed% ≤ E AND unknown% ≤ U AND bake time elapsed AND deny-delta ≤ D.
 * Silence is never success, and an evaluator error pauses; it never passes.
 */

import { IN_FLIGHT_NODE_STATES, type NodeRolloutState } from './node-machine.ts';
import type { DenyDelta } from './deny-delta.ts';

export interface GatePolicy {
  /** Nodes that must have settled before a percentage means anything; capped at the size of the wave. */
  readonly minSample: number;
  /** Fractions, 0 to 1. */
  readonly minHealthy: number;
  readonly maxFailed: number;
  readonly maxUnknown: number;
  /** Offline nodes that may be skipped, as a fraction of the wave. */
  readonly maxSkippedOffline: number;
  readonly bakeMs: number;
  /** Newly denied packets per second and node that are tolerated; null: not gated. */
  readonly maxDenyDelta: number | null;
}

export const DEFAULT_GATE: GatePolicy = {
  minSample: 1,
  minHealthy: 0.95,
  maxFailed: 0,
  maxUnknown: 0.05,
  maxSkippedOffline: 0.2,
  bakeMs: 10_000,
  maxDenyDelta: null,
};

export type NodeCounts = Readonly<Record<NodeRolloutState, number>>;

export interface GateInput {
  readonly counts: NodeCounts;
  /** Milliseconds since the wave began to bake; null before. */
  readonly bakedMs: number | null;
  /** Absent where it is not measured. */
  readonly denyDelta: DenyDelta | null;
}

export type GateOutcome = 'wait' | 'bake' | 'pass' | 'fail' | 'pause';

export interface GateVerdict {
  readonly outcome: GateOutcome;
  /** One sentence for a person. */
  readonly reason: string;
}

/** Decides from counts alone; the same input gives the same verdict. */
export function evaluateGate(input: GateInput, policy: GatePolicy): GateVerdict {
  const { counts } = input;
  if (Object.values(counts).some((count) => !Number.isInteger(count) || count < 0)) return verdict('pause', 'The counts of the wave are not usable; a person has to look.');
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const n = total - counts.skipped_offline - counts.superseded;
  if (total > 0 && counts.skipped_offline > policy.maxSkippedOffline * total) {
    return verdict('pause', `${counts.skipped_offline} of ${total} nodes are offline; at most ${percent(policy.maxSkippedOffline)} may be skipped.`);
  }
  if (n === 0) return verdict('pass', 'No node of this wave is left to wait for.');
  const failed = counts.failed + counts.reverted;
  if (failed > policy.maxFailed * n) return verdict('fail', `${failed} of ${n} nodes failed or reverted; at most ${percent(policy.maxFailed)} may.`);
  if (counts.timed_out > policy.maxUnknown * n) return verdict('pause', `${counts.timed_out} of ${n} nodes went silent; at most ${percent(policy.maxUnknown)} may.`);
  const harm = judgeDenyDelta(input.denyDelta, policy);
  if (harm?.outcome === 'fail') return harm;
  const unknown = counts.timed_out + counts.pending + IN_FLIGHT_NODE_STATES.reduce((sum, state) => sum + counts[state], 0);
  const sample = counts.healthy + failed;
  if (sample < Math.min(policy.minSample, n)) return verdict('wait', `${sample} of ${Math.min(policy.minSample, n)} needed nodes have settled.`);
  if (counts.healthy < policy.minHealthy * n || unknown > policy.maxUnknown * n) {
    const settled = unknown === counts.timed_out;
    return settled
      ? verdict('pause', `${counts.healthy} of ${n} nodes are healthy and none is under way; ${percent(policy.minHealthy)} are needed.`)
      : verdict('wait', `${counts.healthy} of ${n} nodes are healthy; ${unknown} have not reported.`);
  }
  if (input.bakedMs === null || input.bakedMs < policy.bakeMs) return verdict('bake', `Healthy; watched for ${policy.bakeMs} ms before the next wave.`);
  return harm ?? verdict('pass', `${counts.healthy} of ${n} nodes are healthy after ${policy.bakeMs} ms.`);
}

function judgeDenyDelta(delta: DenyDelta | null, policy: GatePolicy): GateVerdict | null {
  if (policy.maxDenyDelta === null) return null;
  if (delta === null || delta.kind === 'unmeasured') return verdict('pause', `Denied flows could not be compared: ${delta?.why ?? 'no flow store answered'}.`);
  if (delta.perNodePerSecond > policy.maxDenyDelta) {
    return verdict('fail', `Updated nodes newly deny ${delta.perNodePerSecond.toFixed(2)} packets/s each; at most ${policy.maxDenyDelta} are tolerated.`);
  }
  return null;
}

function verdict(outcome: GateOutcome, reason: string): GateVerdict {
  return { outcome, reason };
}

function percent(fraction: number): string {
  return `${Math.round(fraction * 1000) / 10} %`;
}
