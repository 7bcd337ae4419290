export { advanceRollout, type AdvanceDecision, type RolloutSnapshot, type WaveSnapshot } from './advance.ts';
export { denyDelta, type DenyDelta, type DenyWindow } from './deny-delta.ts';
export { DEFAULT_GATE, evaluateGate, type GateInput, type GateOutcome, type GatePolicy, type GateVerdict, type NodeCounts } from './gate.ts';
export { mayOpenWave, nextOpening, type MaintenanceWindow } from './maintenance-window.ts';
export {
  compareGenerations,
  IN_FLIGHT_NODE_STATES,
  NODE_ROLLOUT_STATES,
  transitionNode,
  type Generation,
  type NodeDecision,
  type NodeEvent,
  type NodeProgress,
  type NodeReport,
  type NodeRolloutState,
  type NodeTarget,
  type NodeTransition,
} from './node-machine.ts';
export {
  ACTIVE_ROLLOUT_STATES,
  FINAL_ROLLOUT_STATES,
  ROLLOUT_STATES,
  transitionRollout,
  type RolloutDecision,
  type RolloutEvent,
  type RolloutState,
  type RolloutTransition,
} from './rollout-machine.ts';
export { transitionWave, WAVE_STATES, type WaveEvent, type WaveProgress, type WaveState, type WaveTransition } from './wave-machine.ts';
export { DEFAULT_WAVES, planWaves, type PlannedNode, type PlannedWave, type WaveSize, type WaveStrategy } from './wave-plan.ts';
