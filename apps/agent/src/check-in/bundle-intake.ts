import { FIRST_EPOCH, formatGeneration, trustedEpoch, type NodeContext, type TrustedState } from '@palisade/bundle';
import type { Desired } from '@palisade/protocol';
import { fetchBundle } from '../bundles/fetch-bundle.ts';
import { reasonOf, type BundleExecutor, type BundleReport } from '../executor/bundle-executor.ts';
import type { IdentityReplica } from '../identities/identity-replica.ts';
import type { Log } from '../log.ts';
import { delay } from '../transport/delay.ts';
import type { AgentState } from '../state/agent-state.ts';
import type { GatewayRequests } from '../transport/gateway-requests.ts';
import { refreshEpoch, refreshMetadata } from '../trust/refresh-metadata.ts';
import { TrustRefused } from '../trust/root-chain.ts';
import type { ReportedState } from './observe.ts';

/** Of the window that the gateway names for reconnecting, which grows with the fleet: five seconds for ten thousand nodes. */
const SHARE = 1 / 24;

/**
 * How long to leave a new generation where it is: once the share, in which the gateway tells all others of it, and up to as long
 * again, so that not all come at once.
 *
 * @param reconnectWindowMs as the gateway named it last; undefined: not yet
 * @param random in [0, 1)
 * @returns milliseconds
 */
export function downloadDelayMs(reconnectWindowMs: number | undefined, random: number): number {
  return (reconnectWindowMs ?? 0) * SHARE * (1 + random);
}

export interface IntakePorts {
  readonly state: AgentState;
  readonly executor: BundleExecutor;
  readonly identities: IdentityReplica;
  readonly node: () => NodeContext;
  readonly trusted: () => TrustedState;
  readonly remember: (state: TrustedState) => void;
  /** Milliseconds to wait before a download, see `downloadDelayMs`. */
  readonly downloadDelayMs: () => number;
  readonly now: () => number;
  readonly log: Log;
}

/** A refused offer is looked at again after this: metadata that had expired may have been signed anew. */
const REFUSAL_RETRY_MS = 15_000;

/**
 * Takes offers in: metadata, manifest, blobs, both authorities, and only then the executor. What was refused is
 * reported as failed and changes nothing on the node; what could not be fetched is tried again.
 */
export class BundleIntake {
  readonly #ports: IntakePorts;
  #refused: { readonly generation: string; readonly reason: string; readonly retryAtMs: number } | undefined;
  #waiting: string | undefined;

  constructor(ports: IntakePorts) {
    this.#ports = ports;
  }

  /** What to say of bundles: a refusal or an accepted bundle that waits for identities comes before what runs. */
  get report(): Omit<BundleReport, 'state'> & { readonly state: ReportedState } {
    const running = this.#ports.executor.report;
    if (this.#refused !== undefined) return { state: 'failed', subject: this.#refused.generation, reason: this.#refused.reason };
    if (this.#waiting !== undefined && this.#waiting !== running.subject) return { state: 'verified', subject: this.#waiting };
    return running;
  }

  /**
   * @returns whether the offer led to a change worth reporting
   * @throws GatewayRefused, GatewayUnreachable: try again later
   */
  async take(gateway: GatewayRequests, desired: Desired): Promise<boolean> {
    if (desired.generation === undefined) return false;
    const generation = formatGeneration(desired.generation);
    const { executor, log, now } = this.#ports;
    if (executor.settled(generation)) {
      const told = this.#refused === undefined && this.#waiting === undefined;
      this.#refused = undefined;
      this.#waiting = undefined;
      return !told;
    }
    if (this.#refused?.generation === generation && now() < this.#refused.retryAtMs) return false;
    try {
      await delay(this.#ports.downloadDelayMs());
      const fetched = await this.#fetch(gateway, desired);
      this.#refused = undefined;
      if (this.#ports.identities.facts === undefined || this.#ports.identities.revision < fetched.minimumIdentityRevision) {
        const changed = this.#waiting !== generation;
        this.#waiting = generation;
        return changed;
      }
      this.#waiting = undefined;
      await executor.load(fetched.kept);
      return true;
    } catch (error) {
      if (!(error instanceof TrustRefused)) throw error;
      const changed = this.#refused?.generation !== generation || this.#refused.reason !== error.message;
      this.#refused = { generation, reason: reasonOf(error), retryAtMs: now() + REFUSAL_RETRY_MS };
      log.error('an offered bundle was refused; the old one stays', { generation, reason: error.message });
      return changed;
    }
  }

  async #fetch(gateway: GatewayRequests, desired: Desired): ReturnType<typeof fetchBundle> {
    const { state, now, node, remember } = this.#ports;
    let trusted = await refreshMetadata(gateway, this.#ports.trusted(), now, remember);
    if ((desired.generation?.epoch ?? FIRST_EPOCH) > trustedEpoch(trusted)) {
      trusted = await refreshEpoch(gateway, trusted, node());
      remember(trusted);
    }
    const fetched = await fetchBundle(gateway, state, trusted, desired, node(), now());
    remember(fetched.trusted);
    return fetched;
  }
}
