/**
 * The life of one rollout (trust-and-fleet §3):
 * DRAFT → VALIDATING → READY → RUNNING ⇄ PAUSED → SUCCEEDED | HALTED → ROLLING_BACK → ROLLED_BACK | SUPERSEDED | CANCELED.
 */

export const ROLLOUT_STATES = [
  'draft',
  'validating',
  'ready',
  'running',
  'paused',
  'succeeded',
  'halted',
  'rolling_back',
  'rolled_back',
  'superseded',
  'canceled',
] as const;
export type RolloutState = (typeof ROLLOUT_STATES)[number];

/** States that hold the one place a (tenant, cluster, channel) has for an active rollout. */
export const ACTIVE_ROLLOUT_STATES: readonly RolloutState[] = ['draft', 'validating', 'ready', 'running', 'paused'];

/** States that nothing leaves. `succeeded` and `halted` still allow a rollback. */
export const FINAL_ROLLOUT_STATES: readonly RolloutState[] = ['rolled_back', 'superseded', 'canceled'];

export type RolloutEvent =
  | { readonly kind: 'validate' }
  | { readonly kind: 'validated' }
  | { readonly kind: 'validation-failed'; readonly reason: string }
  | { readonly kind: 'start' }
  | { readonly kind: 'pause'; readonly reason: string }
  | { readonly kind: 'resume' }
  | { readonly kind: 'halt'; readonly reason: string }
  | { readonly kind: 'waves-passed' }
  | { readonly kind: 'roll-back' }
  | { readonly kind: 'rolled-back' }
  | { readonly kind: 'supersede' }
  | { readonly kind: 'cancel' };

/** What the caller has to do when it stores the new state, in the same transaction. */
export type RolloutDecision =
  | { readonly kind: 'compile-and-seal' }
  | { readonly kind: 'open-first-wave' }
  | { readonly kind: 'withdraw-offers' }
  | { readonly kind: 'renew-offers' }
  | { readonly kind: 'create-rollback' }
  | { readonly kind: 'supersede-nodes' }
  | { readonly kind: 'adopt-generation' };

export type RolloutTransition =
  | { readonly ok: true; readonly state: RolloutState; readonly reason: string | null; readonly decisions: readonly RolloutDecision[] }
  | { readonly ok: false; readonly refusal: string };

interface Rule {
  readonly from: readonly RolloutState[];
  readonly to: RolloutState;
  readonly decisions: readonly RolloutDecision['kind'][];
}

const RULES: Readonly<Record<RolloutEvent['kind'], Rule>> = {
  validate: { from: ['draft'], to: 'validating', decisions: ['compile-and-seal'] },
  validated: { from: ['validating'], to: 'ready', decisions: [] },
  'validation-failed': { from: ['validating'], to: 'halted', decisions: [] },
  start: { from: ['ready'], to: 'running', decisions: ['open-first-wave'] },
  pause: { from: ['running'], to: 'paused', decisions: ['withdraw-offers'] },
  resume: { from: ['paused'], to: 'running', decisions: ['renew-offers'] },
  halt: { from: [...ACTIVE_ROLLOUT_STATES, 'rolling_back'], to: 'halted', decisions: ['withdraw-offers'] },
  'waves-passed': { from: ['running'], to: 'succeeded', decisions: ['adopt-generation'] },
  'roll-back': { from: ['running', 'paused', 'halted', 'succeeded'], to: 'rolling_back', decisions: ['withdraw-offers', 'create-rollback'] },
  'rolled-back': { from: ['rolling_back'], to: 'rolled_back', decisions: [] },
  supersede: { from: [...ACTIVE_ROLLOUT_STATES, 'halted'], to: 'superseded', decisions: ['supersede-nodes'] },
  cancel: { from: ['draft', 'validating', 'ready'], to: 'canceled', decisions: [] },
};

/** The next state, or the sentence that says why the event is not legal now. */
export function transitionRollout(state: RolloutState, event: RolloutEvent): RolloutTransition {
  const rule = RULES[event.kind];
  if (!rule.from.includes(state)) {
    return { ok: false, refusal: `A rollout that is ${state} cannot take "${event.kind}"; it is legal from: ${rule.from.join(', ')}.` };
  }
  const reason = 'reason' in event ? event.reason : null;
  return { ok: true, state: rule.to, reason, decisions: rule.decisions.map((kind) => ({ kind })) };
}
