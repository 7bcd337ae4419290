import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { sha256Hex, type StoredTrust } from '@palisade/bundle';
import { FactsLog, type StoredFacts } from '../identities/facts-log.ts';
import { listIfPresent, readIfPresent, removeIfPresent, removeTemporaries, writeDurably } from './durable-file.ts';

/** The agent's key and the id under which it enrolls; written before the first request that uses them. */
export interface EnrollmentKey {
  readonly enrollmentUuid: string;
  /** PKCS#8 PEM, P-256. */
  readonly privateKeyPem: string;
}

/** What enrollment gave this node. */
export interface NodeRecord {
  readonly nodeId: string;
  readonly nodeName: string;
  readonly tenantId: string;
  readonly clusterId: string;
  /** Leaf first. */
  readonly certificateChainPem: string;
}

/** A bundle on disk. */
export interface KeptBundle {
  /** `epoch.n` */
  readonly generation: string;
  readonly manifestSha256: string;
  readonly contentDigest: string;
  readonly policyRevision: number;
}

/** A bundle that was switched to and is not committed. */
export interface CandidateBundle extends KeptBundle {
  /** Starts of the agent that found it uncommitted, plus the first try. */
  readonly attempts: number;
}

/** A generation this node has given up, with the reason in its own words. It is not tried again. */
export interface GivenUpBundle {
  readonly generation: string;
  readonly state: 'failed' | 'reverted';
  readonly reason: string;
}

/** Which bundle runs, which one is the way back, which one is on trial. One file, replaced as a whole. */
export interface BundleLedger {
  readonly current?: KeptBundle;
  readonly lastKnownGood?: KeptBundle;
  readonly candidate?: CandidateBundle;
  readonly givenUp?: GivenUpBundle;
}

export interface LocalActRecord {
  readonly kind: 'disable' | 'enable' | 'uninstall';
  readonly atMs: number;
  readonly detail: string;
}

/** Acts told in one check-in; the others follow. */
const MAX_LOCAL_ACTS = 64;

/** The agent's folder. Every write is durable and whole; everything read was written by this agent. */
export class AgentState {
  readonly dir: string;
  readonly factsLog: FactsLog;

  constructor(dir: string) {
    this.dir = dir;
    this.factsLog = new FactsLog(dir);
  }

  /** Removes leftovers of writers that were killed. */
  sweep(): void {
    for (const folder of ['', 'identity', 'trust', 'bundles', 'bundles/manifests', 'bundles/blobs', 'identities', 'local-acts']) removeTemporaries(join(this.dir, folder));
  }

  enrollmentKey(): EnrollmentKey | undefined {
    return this.#readJson('identity/enrollment.json');
  }

  saveEnrollmentKey(key: EnrollmentKey): void {
    this.#writeJson('identity/enrollment.json', key);
  }

  node(): NodeRecord | undefined {
    return this.#readJson('identity/node.json');
  }

  saveNode(node: NodeRecord): void {
    this.#writeJson('identity/node.json', node);
  }

  trust(): StoredTrust | undefined {
    const stored = this.#readJson<Record<string, string | undefined>>('trust/trusted.json');
    if (stored?.['root'] === undefined) return undefined;
    const bytes = (name: string) => (stored[name] === undefined ? {} : { [name]: Buffer.from(stored[name], 'base64') });
    const text = (name: string) => (stored[name] === undefined ? {} : { [name]: stored[name] });
    return { root: Buffer.from(stored['root'], 'base64'), ...bytes('timestamp'), ...bytes('snapshot'), ...bytes('targets'), ...text('highestGeneration'), ...text('epoch') };
  }

  saveTrust(trust: StoredTrust): void {
    const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : Buffer.from(bytes).toString('base64'));
    this.#writeJson('trust/trusted.json', {
      root: text(trust.root),
      timestamp: text(trust.timestamp),
      snapshot: text(trust.snapshot),
      targets: text(trust.targets),
      highestGeneration: trust.highestGeneration,
      epoch: trust.epoch,
    });
  }

  ledger(): BundleLedger {
    return this.#readJson('bundles/ledger.json') ?? {};
  }

  saveLedger(ledger: BundleLedger): void {
    this.#writeJson('bundles/ledger.json', ledger);
  }

  manifest(sha256: string): Buffer | undefined {
    return readIfPresent(this.#path(`bundles/manifests/${sha256}`));
  }

  saveManifest(sha256: string, envelope: Uint8Array): void {
    writeDurably(this.#path(`bundles/manifests/${sha256}`), envelope);
  }

  /** Only whole blobs: a file that does not hash to its name is removed and read as absent. */
  blob(sha256: string): Buffer | undefined {
    const path = this.#path(`bundles/blobs/${sha256}`);
    const bytes = readIfPresent(path);
    if (bytes === undefined || sha256Hex(bytes) === sha256) return bytes;
    removeIfPresent(path);
    return undefined;
  }

  saveBlob(sha256: string, bytes: Uint8Array): void {
    writeDurably(this.#path(`bundles/blobs/${sha256}`), bytes);
  }

  /** Removes manifests and blobs that nothing in the ledger needs. */
  collectGarbage(manifests: ReadonlySet<string>, blobs: ReadonlySet<string>): void {
    for (const name of listIfPresent(this.#path('bundles/manifests'))) if (!manifests.has(name)) removeIfPresent(this.#path(`bundles/manifests/${name}`));
    for (const name of listIfPresent(this.#path('bundles/blobs'))) if (!blobs.has(name)) removeIfPresent(this.#path(`bundles/blobs/${name}`));
  }

  /** The identity stream as far as it came. */
  facts(): StoredFacts | undefined {
    return this.factsLog.read();
  }

  /** Counts this start of the agent. Rises also when an older copy of the folder was put back: it is at least the clock's seconds. */
  countBoot(nowMs: number): number {
    const before = this.#readJson<{ readonly count: number }>('boots.json')?.count ?? 0;
    const count = Math.max(before + 1, Math.floor(nowMs / 1000));
    this.#writeJson('boots.json', { count });
    return count;
  }

  slots(): Readonly<Record<string, number>> {
    return this.#readJson('slots.json') ?? {};
  }

  saveSlots(slots: Readonly<Record<string, number>>): void {
    this.#writeJson('slots.json', slots);
  }

  /** Acts that the control plane has not acknowledged, oldest first, by file name. */
  localActs(): ReadonlyMap<string, LocalActRecord> {
    const acts = new Map<string, LocalActRecord>();
    for (const name of [...listIfPresent(this.#path('local-acts'))].sort()) {
      const act = name.endsWith('.json') ? this.#readJson<LocalActRecord>(`local-acts/${name}`) : undefined;
      if (act !== undefined && acts.size < MAX_LOCAL_ACTS) acts.set(name, act);
    }
    return acts;
  }

  /** One file an act: the command line and the agent write without knowing of each other. */
  addLocalAct(act: LocalActRecord): void {
    this.#writeJson(`local-acts/${String(act.atMs).padStart(15, '0')}-${randomBytes(4).toString('hex')}.json`, act);
  }

  removeLocalAct(name: string): void {
    removeIfPresent(this.#path(`local-acts/${name}`));
  }

  /** When break-glass ends, Unix ms; undefined when it is not active. */
  disabledUntilMs(): number | undefined {
    return this.#readJson<{ readonly untilMs: number }>('break-glass.json')?.untilMs;
  }

  saveDisabledUntil(untilMs: number | undefined): void {
    if (untilMs === undefined) removeIfPresent(this.#path('break-glass.json'));
    else this.#writeJson('break-glass.json', { untilMs });
  }

  #path(name: string): string {
    return join(this.dir, name);
  }

  #readJson<T>(name: string): T | undefined {
    const bytes = readIfPresent(this.#path(name));
    if (bytes === undefined) return undefined;
    try {
      return JSON.parse(bytes.toString('utf8')) as T;
    } catch (cause) {
      throw new Error(`The state file ${this.#path(name)} is damaged. Restore it from a backup, or move the state folder away and enroll again.`, { cause });
    }
  }

  #writeJson(name: string, value: unknown): void {
    writeDurably(this.#path(name), JSON.stringify(value));
  }
}
