import { trustedEpoch, verifyIdentities, type IdentityMessage, type IdentityPosition, type TrustedState } from '@palisade/bundle';
import type { ClusterFacts, FactsIncrement } from '@palisade/policy';
import { identitiesPath, IdentityDeliverySchema, maxMessageBytes } from '@palisade/protocol';
import type { AgentState } from '../state/agent-state.ts';
import { decodeAnswer } from '../transport/decode-answer.ts';
import type { GatewayRequests } from '../transport/gateway-requests.ts';
import { TrustRefused } from '../trust/root-chain.ts';
import { applyIncrement } from './apply-increment.ts';
import { rememberStep } from './facts-lineage.ts';

const TIMEOUT_MS = 60_000;
/** Deliveries one catch-up reads before it lets the check-in loop go on. */
const MAX_DELIVERIES = 1_000;

/**
 * This node's copy of the signed identity stream. It only moves forward, whatever bundle runs; it is on disk before
 * anything is resolved against it.
 */
export class IdentityReplica {
  readonly #state: AgentState;
  readonly #scope: { readonly tenantId: string; readonly clusterId: string };
  #position: IdentityPosition | undefined;
  #facts: ClusterFacts | undefined;
  /** The log on disk is whole: this process began it. */
  #logged = false;

  constructor(state: AgentState, scope: { readonly tenantId: string; readonly clusterId: string }) {
    this.#state = state;
    this.#scope = scope;
    const stored = state.facts();
    if (stored !== undefined) {
      this.#facts = stored.facts;
      this.#position = { epoch: BigInt(stored.epoch), revision: stored.facts.identityRevision };
    }
  }

  get facts(): ClusterFacts | undefined {
    return this.#facts;
  }

  /** 0 before the first snapshot. */
  get revision(): number {
    return this.#position?.revision ?? 0;
  }

  /** After a database restore revisions start again in a newer epoch: only a snapshot leads there. */
  #behindEpoch(trusted: TrustedState): boolean {
    return this.#position !== undefined && this.#position.epoch < trustedEpoch(trusted);
  }

  /** Whether there is something to ask for, when the gateway has this revision. */
  behind(revision: bigint, trusted: TrustedState): boolean {
    return this.#facts === undefined || revision > BigInt(this.revision) || this.#behindEpoch(trusted);
  }

  /**
   * Fetches and verifies what is new. An increment that does not start where this node stands, or that the gateway lost,
   * makes it ask for a snapshot instead.
   * @returns whether the facts changed
   * @throws TrustRefused (the old facts stay), GatewayRefused, GatewayUnreachable
   */
  async catchUp(gateway: GatewayRequests, trusted: TrustedState): Promise<boolean> {
    const before = this.#position;
    let since = this.#behindEpoch(trusted) ? undefined : this.#position?.revision;
    for (let round = 0; round < MAX_DELIVERIES; round += 1) {
      const { body } = await gateway.request({ method: 'GET', path: identitiesPath(since), maxBytes: maxMessageBytes(IdentityDeliverySchema), timeoutMs: TIMEOUT_MS });
      const delivery = decodeAnswer(IdentityDeliverySchema, body);
      const gap = this.#take(delivery.envelopes, trusted, since !== undefined);
      if (gap) {
        since = undefined;
        continue;
      }
      since = this.#position?.revision;
      if (!delivery.more) break;
    }
    return this.#position !== before;
  }

  /** @returns true on a gap that a snapshot can close */
  #take(envelopes: readonly Uint8Array[], trusted: TrustedState, askedForIncrements: boolean): boolean {
    for (const envelope of envelopes) {
      const verdict = verifyIdentities(trusted, envelope, this.#scope, this.#position);
      if (!verdict.ok) {
        if (verdict.code === 'identity-gap' && askedForIncrements) return true;
        throw new TrustRefused(verdict);
      }
      const { message } = verdict;
      if (message.kind === 'snapshot' && message.epoch === this.#position?.epoch && message.revision === this.#position.revision) continue;
      this.#accept(message);
    }
    return false;
  }

  #accept(message: IdentityMessage): void {
    const before = this.#facts;
    const facts = factsAfter(before, message);
    const stored = { epoch: String(message.epoch), facts };
    if (message.kind === 'increment' && before !== undefined && this.#logged) {
      const step = message.content as unknown as FactsIncrement;
      this.#state.factsLog.append(step, stored);
      rememberStep(before, step, facts);
    } else {
      this.#state.factsLog.save(stored);
      this.#logged = true;
    }
    this.#facts = facts;
    this.#position = { epoch: message.epoch, revision: message.revision };
  }
}

function factsAfter(facts: ClusterFacts | undefined, message: IdentityMessage): ClusterFacts {
  const content: unknown = message.content;
  const next = message.kind === 'snapshot' || facts === undefined ? (content as ClusterFacts) : applyIncrement(facts, content as FactsIncrement);
  if (next.identityRevision !== message.revision) {
    throw new TrustRefused({ ok: false, code: 'malformed', message: `an identity message says revision ${message.revision} outside and ${next.identityRevision} inside` });
  }
  return next;
}
