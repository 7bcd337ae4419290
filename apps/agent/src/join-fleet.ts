import { readFileSync } from 'node:fs';
import type { TrustedState } from '@palisade/bundle';
import type { AttestationSource } from './enrollment/attestation-evidence.ts';
import type { NodeFeatures } from './enrollment/enroll.ts';
import { enrollmentKey } from './enrollment/enroll.ts';
import { reasonOf } from './executor/bundle-executor.ts';
import type { Log } from './log.ts';
import type { AgentState, NodeRecord } from './state/agent-state.ts';
import { Backoff } from './transport/backoff.ts';
import type { Connector } from './transport/connector.ts';
import { delay } from './transport/delay.ts';
import { GatewayRefused, GatewayUnreachable } from './transport/gateway-requests.ts';

export interface JoinOptions {
  readonly state: AgentState;
  readonly connector: Connector;
  readonly describe: NodeFeatures;
  /** Read when it is needed, so that it may appear late and be removed after the first start. */
  readonly tokenFile?: string;
  readonly trustPin?: string;
  /** Evidence that goes with the token. */
  readonly attest?: readonly AttestationSource[];
  readonly log: Log;
}

/**
 * Trust first, then enrollment; each from disk where an earlier start got that far. Waits out a control plane that is
 * not there; a wrong pin or token ends it, since waiting would not help.
 * @returns undefined when stopped first
 * @throws TrustRefused, GatewayRefused (a final status), Error for what the operator has to give
 */
export async function joinFleet(options: JoinOptions, stop: AbortSignal): Promise<{ readonly trusted: TrustedState; readonly node: NodeRecord } | undefined> {
  const { state, connector, log } = options;
  enrollmentKey(state); // durable before anything is sent
  const backoff = new Backoff();
  while (!stop.aborted) {
    try {
      const trusted = connector.storedTrust() ?? (await connector.bootstrapTrust(needed(options.trustPin, '--trust sha256:… (the pin that came with the enrollment token)')));
      const node = state.node() ?? (await connector.enroll(trusted, readToken(options.tokenFile), options.describe, options.attest ?? []));
      return { trusted, node };
    } catch (error) {
      const again = error instanceof GatewayUnreachable || (error instanceof GatewayRefused && error.transient);
      if (!again) throw error;
      const wait = backoff.next({ windowMs: 1_000, ...(error instanceof GatewayRefused && { retryAfterMs: error.retryAfterMs }) });
      log.warn('cannot join yet; trying again', { reason: reasonOf(error), waitMs: Math.round(wait) });
      await delay(wait, stop);
    }
  }
  return undefined;
}

function readToken(file: string | undefined): string {
  return readFileSync(needed(file, '--enroll-token-file FILE'), 'utf8').trim();
}

function needed(value: string | undefined, what: string): string {
  if (value === undefined) throw new Error(`This node is not enrolled: start it once with ${what}.`);
  return value;
}
