import { isDomainError } from '@palisade/errors';
import type { LocalEndpoint, ServiceAddress } from '@palisade/dataplane';
import type { ClusterFacts, ResolvedNode } from '@palisade/policy';
import { blobsOf, loadBundle, type LoadedBundle } from '../bundles/load-bundle.ts';
import type { Enforcer, RunningState } from '../enforcer/enforcer.ts';
import type { Log } from '../log.ts';
import type { AgentState, BundleLedger, KeptBundle } from '../state/agent-state.ts';
import type { ResolveNode } from './resolve-node.ts';
import { Serial } from './serial.ts';
import { judgeTrial, type Trial } from './trial.ts';

export interface ExecutorPorts {
  readonly state: AgentState;
  readonly enforcer: Enforcer;
  readonly resolve: ResolveNode;
  readonly nodeName: string;
  readonly facts: () => ClusterFacts | undefined;
  readonly endpoints: () => { readonly endpoints: readonly LocalEndpoint[]; readonly services: readonly ServiceAddress[] };
  /** When the control plane was last heard of, Unix ms; 0: never. */
  readonly lastHeardMs: () => number;
  readonly now: () => number;
  readonly healthWindowMs: number;
  readonly commitTimeoutMs: number;
  readonly log: Log;
}

/** What the next check-in says of bundles. */
export interface BundleReport {
  readonly state: 'none' | 'loaded' | 'healthy' | 'failed' | 'reverted';
  /** The generation that `state` speaks of, `epoch.n`; absent with `none`. */
  readonly subject?: string;
  readonly reason?: string;
}

/** Starts that may find a bundle uncommitted before it counts as a crash loop. */
const MAX_ATTEMPTS = 3;
const RETRY_MS = 2_000;
const MAX_REASON_BYTES = 8 * 1024;


/**
 * The one executor: everything that changes the kernel goes through here, one change at a time. It keeps the running
 * bundle and the last known good one on disk and goes back by itself, with no control plane.
 */
export class BundleExecutor {
  readonly #ports: ExecutorPorts;
  readonly #serial = new Serial();
  #ledger: BundleLedger;
  #active: LoadedBundle | undefined;
  #trial: Trial | undefined;
  #resolved: { readonly live: ResolvedNode; readonly shadow?: ResolvedNode } | undefined;
  #switchedAtMs = 0;
  #disabled = false;
  /** Why the kernel is behind what is known; told with the next check-in. */
  #behind: string | undefined;
  #retryAtMs: number | undefined;

  constructor(ports: ExecutorPorts) {
    this.#ports = ports;
    this.#ledger = ports.state.ledger();
  }

  /** What is resolved and in force; absent before the first apply of this process. */
  get resolved(): { readonly live: ResolvedNode; readonly shadow?: ResolvedNode } | undefined {
    return this.#resolved;
  }

  /** Generation of the bundle that is in force or on trial, `epoch.n`; absent before the first. */
  get generation(): string | undefined {
    return this.#active?.kept.generation;
  }

  get report(): BundleReport {
    const { candidate, current, givenUp } = this.#ledger;
    if (candidate !== undefined) return { state: 'loaded', subject: candidate.generation };
    if (givenUp !== undefined) return { state: givenUp.state, subject: givenUp.generation, reason: givenUp.reason };
    if (current === undefined) return { state: 'none' };
    return { state: 'healthy', subject: current.generation, ...(this.#behind !== undefined && { reason: this.#behind }) };
  }

  get lastKnownGood(): KeptBundle | undefined {
    return this.#ledger.lastKnownGood;
  }

  /** True for a generation that already runs, is on trial, or was given up: the offer needs no work. */
  settled(generation: string): boolean {
    const { candidate, current, givenUp } = this.#ledger;
    return [candidate, givenUp].some((known) => known?.generation === generation) || (current?.generation === generation && candidate === undefined);
  }

  /** Takes over what an earlier process left in the kernel. Traffic is not touched before the first difference. */
  adopt(): Promise<void> {
    return this.#serial.run(async () => {
      await this.#ports.enforcer.adopt();
      const { candidate } = this.#ledger;
      if (candidate !== undefined) {
        if (candidate.attempts >= MAX_ATTEMPTS) return this.#goBack('reverted', `crash loop: the agent was started ${candidate.attempts} times before generation ${candidate.generation} was healthy`);
        return this.#switchTo({ ...candidate }, candidate.attempts + 1);
      }
      const { current } = this.#ledger;
      if (current === undefined) return undefined;
      try {
        this.#active = loadBundle(this.#ports.state, current);
        await this.#applyActive();
      } catch (error) {
        this.#ports.log.error('the kept bundle could not be applied again; what is pinned keeps enforcing', { generation: current.generation, reason: reasonOf(error) });
      }
      return undefined;
    });
  }

  /** Switches to a bundle that was verified and kept, and starts to watch it. Failures end in the old bundle. */
  load(kept: KeptBundle): Promise<void> {
    return this.#serial.run(() => this.#switchTo(kept, 1));
  }

  /** Resolves again, after identities, endpoints or services changed. The bundle stays the same. */
  reconcile(): Promise<void> {
    return this.#serial.run(async () => {
      if (this.#active === undefined) return;
      try {
        await this.#applyActive();
        this.#behind = undefined;
      } catch (error) {
        this.#behind = `identities or endpoints could not be applied, the old state keeps enforcing: ${reasonOf(error)}`;
        this.#retryAtMs = this.#ports.now() + RETRY_MS;
        this.#ports.log.error('a change could not be applied', { reason: this.#behind });
      }
    });
  }

  /** Whether a change failed, or an endpoint could not be attached (its interface may have come since): time to try again. */
  get retryDue(): boolean {
    return this.#retryAtMs !== undefined && this.#ports.now() >= this.#retryAtMs;
  }

  /** Looks at a trial; called again and again. @returns true when the trial ended */
  judge(): Promise<boolean> {
    return this.#serial.run(async () => {
      const trial = this.#trial;
      if (trial === undefined) return false;
      const running = await this.#probe();
      if (running === undefined) return true;
      // During break-glass nothing is protected, and that is not the bundle's doing.
      const present = new Set(this.#disabled ? [] : this.#ports.endpoints().endpoints.map((endpoint) => endpoint.key));
      const heard = this.#ports.lastHeardMs() > this.#switchedAtMs;
      const verdict = judgeTrial(trial, running, present, heard, this.#ports.now());
      if (verdict.kind === 'wait') return false;
      if (verdict.kind === 'commit') this.#commit();
      else await this.#goBack('reverted', verdict.reason);
      return true;
    });
  }

  /** What runs, while it is on trial; a kernel that does not answer ends the trial. */
  async #probe(): Promise<RunningState | undefined> {
    try {
      return await this.#ports.enforcer.running();
    } catch (error) {
      await this.#goBack('reverted', `the health probe failed: ${reasonOf(error)}`);
      return undefined;
    }
  }

  running(): Promise<RunningState> {
    return this.#serial.run(() => this.#ports.enforcer.running());
  }

  disable(): Promise<void> {
    this.#disabled = true;
    return this.#serial.run(() => this.#ports.enforcer.disable());
  }

  enable(): Promise<void> {
    this.#disabled = false;
    return this.#serial.run(() => this.#ports.enforcer.enable());
  }

  close(): Promise<void> {
    return this.#serial.run(() => this.#ports.enforcer.close());
  }

  async #switchTo(kept: KeptBundle, attempts: number): Promise<void> {
    const { generation, manifestSha256, contentDigest, policyRevision } = kept;
    this.#save({ ...this.#ledger, candidate: { generation, manifestSha256, contentDigest, policyRevision, attempts } });
    try {
      const bundle = loadBundle(this.#ports.state, kept);
      const before = await this.#ports.enforcer.running();
      this.#active = bundle;
      const running = await this.#applyActive();
      this.#watch(kept, before);
      this.#ports.log.info('switched to a bundle', { generation, contentDigest, endpoints: running?.endpoints.length ?? 0 });
    } catch (error) {
      await this.#goBack('failed', reasonOf(error));
    }
  }

  #watch(kept: KeptBundle, before: RunningState): void {
    const now = this.#ports.now();
    this.#switchedAtMs = now;
    this.#trial = {
      generation: kept.generation,
      contentDigest: kept.contentDigest,
      watchedUntilMs: now + this.#ports.healthWindowMs,
      commitByMs: now + this.#ports.commitTimeoutMs,
      protectedBefore: new Set(before.endpoints.filter((endpoint) => endpoint.protected).map((endpoint) => endpoint.key)),
    };
  }

  async #applyActive(): Promise<RunningState | undefined> {
    const bundle = this.#active;
    const facts = this.#ports.facts();
    if (bundle === undefined || facts === undefined) return undefined;
    const { resolve, nodeName, enforcer } = this.#ports;
    const live = resolve('live', bundle.policy, facts, nodeName, bundle.manifest.policy.revision);
    const shadow = bundle.shadowPolicy && resolve('shadow', bundle.shadowPolicy, facts, nodeName, bundle.manifest.shadowPolicy?.revision ?? 0);
    const running = await enforcer.apply({
      contentDigest: bundle.kept.contentDigest,
      generation: bundle.kept.generation,
      programs: bundle.programs,
      resolved: live,
      ...(shadow && { shadow }),
      ...this.#ports.endpoints(),
    });
    this.#resolved = { live, ...(shadow && { shadow }) };
    const missing = running.endpoints.some((endpoint) => !endpoint.protected);
    this.#retryAtMs = missing && !this.#disabled ? this.#ports.now() + RETRY_MS : undefined;
    return running;
  }

  #commit(): void {
    const { candidate, current } = this.#ledger;
    this.#trial = undefined;
    if (candidate === undefined) return;
    const { attempts: _attempts, ...committed } = candidate;
    this.#save({ current: committed, lastKnownGood: current ?? committed });
    this.#ports.log.info('the bundle is healthy', { generation: committed.generation, contentDigest: committed.contentDigest });
    this.#collectGarbage();
  }

  /** Back to the bundle that ran before, or to an unenforced node where there was none. */
  async #goBack(state: 'failed' | 'reverted', reason: string): Promise<void> {
    const { candidate, current, lastKnownGood } = this.#ledger;
    this.#trial = undefined;
    this.#ports.log.error(state === 'failed' ? 'the bundle could not be loaded' : 'going back to the bundle before', { generation: candidate?.generation, reason });
    this.#save({ ...(current && { current }), ...(lastKnownGood && { lastKnownGood }), ...(candidate && { givenUp: { generation: candidate.generation, state, reason: reason.slice(-MAX_REASON_BYTES) } }) });
    this.#active = undefined;
    for (const way of [current, lastKnownGood]) {
      if (way === undefined) continue;
      try {
        this.#active = loadBundle(this.#ports.state, way);
        await this.#applyActive();
        return;
      } catch (error) {
        this.#ports.log.error('a bundle to go back to could not be applied; what is pinned keeps enforcing', { generation: way.generation, reason: reasonOf(error) });
      }
    }
    if (current === undefined) {
      this.#resolved = undefined;
      await this.#ports.enforcer.uninstall();
    }
  }

  #save(ledger: BundleLedger): void {
    this.#ports.state.saveLedger(ledger);
    this.#ledger = ledger;
  }

  #collectGarbage(): void {
    const { current, lastKnownGood } = this.#ledger;
    const kept = [current, lastKnownGood].filter((bundle) => bundle !== undefined);
    const blobs = kept.flatMap((bundle) => {
      try {
        return blobsOf(loadBundle(this.#ports.state, bundle).manifest).map((blob) => blob.sha256);
      } catch {
        return []; // a damaged bundle keeps nothing alive
      }
    });
    this.#ports.state.collectGarbage(new Set(kept.map((bundle) => bundle.manifestSha256)), new Set(blobs));
  }
}

/** What happened, in the node's own words; the verifier log's tail comes with the error's message. */
export function reasonOf(error: unknown): string {
  if (isDomainError(error)) return `${error.code}: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
