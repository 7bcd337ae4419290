import type { RunningState } from '../enforcer/enforcer.ts';

/** A bundle that was switched to and is being watched. All times are Unix milliseconds. */
export interface Trial {
  readonly generation: string;
  readonly contentDigest: string;
  /** The node is not healthy before this. */
  readonly watchedUntilMs: number;
  /** Without contact with the control plane since the switch, the node goes back at this time. */
  readonly commitByMs: number;
  /** Endpoints that were protected before the switch. */
  readonly protectedBefore: ReadonlySet<string>;
}

export type TrialVerdict = { readonly kind: 'wait' } | { readonly kind: 'commit' } | { readonly kind: 'revert'; readonly reason: string };

/**
 * Decides about a trial. It commits when its health window has passed, what runs is still what was switched to, no
 * endpoint lost its protection, and the control plane was heard of since the switch. It reverts as soon as one of these
 * is lost, or when nothing was heard by the commit time (the dead-man timer): the switch itself may have cut us off.
 * Being told to wait (429, 503), or being refused a connection, is hearing: such a node does not revert.
 */
export function judgeTrial(trial: Trial, running: RunningState, present: ReadonlySet<string>, heardSinceSwitch: boolean, nowMs: number): TrialVerdict {
  if (running.contentDigest !== trial.contentDigest) {
    return { kind: 'revert', reason: `the kernel runs ${running.contentDigest ?? 'nothing'} instead of ${trial.contentDigest}` };
  }
  const lost = running.endpoints.find((endpoint) => !endpoint.protected && trial.protectedBefore.has(endpoint.key) && present.has(endpoint.key));
  if (lost !== undefined) return { kind: 'revert', reason: `endpoint ${lost.key} lost its protection: ${lost.reason ?? 'no reason given'}` };
  if (!heardSinceSwitch) {
    return nowMs < trial.commitByMs
      ? { kind: 'wait' }
      : { kind: 'revert', reason: 'nothing was heard from the control plane after the switch: it may have cut this node off' };
  }
  return nowMs < trial.watchedUntilMs ? { kind: 'wait' } : { kind: 'commit' };
}
