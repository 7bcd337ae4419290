import { BundleError, rejectionOf, type Rejection } from '../bundle-error.ts';
import { sha256Hex } from '../canonical/sha256.ts';
import { compareGenerations, formatGeneration, parseGeneration, type Generation } from '../generation.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import type { Authority } from '../signing/threshold.ts';
import { assertNotExpired, assertSignedBy } from './metadata.ts';
import { parseRoot, type RootFile } from './root.ts';
import { parseSnapshot, parseTimestamp, type MetaEntry, type SnapshotFile, type TimestampFile } from './snapshot.ts';
import { parseTargets, type TargetsFile } from './image-targets.ts';

/** Everything a node believes, and the highest generation it has ever accepted. Immutable; steps return a new one. */
export interface TrustedState {
  readonly root: RootFile;
  readonly timestamp?: TimestampFile;
  readonly snapshot?: SnapshotFile;
  readonly targets?: TargetsFile;
  readonly highestGeneration?: Generation;
  /** Newest epoch that the root authority has opened for this cluster; absent: the first. */
  readonly epoch?: bigint;
}

/** The persistable form: exact metadata bytes. */
export interface StoredTrust {
  readonly root: Uint8Array;
  readonly timestamp?: Uint8Array;
  readonly snapshot?: Uint8Array;
  readonly targets?: Uint8Array;
  /** `epoch.n` */
  readonly highestGeneration?: string;
  /** Decimal. */
  readonly epoch?: string;
}

export type Step = { readonly ok: true; readonly state: TrustedState } | Rejection;

/**
 * Trust that starts from a root the caller already believes (by the trust pin, or from its own disk).
 * The root must carry a threshold of its own signatures.
 */
export function trustRoot(bytes: Uint8Array): Step {
  return rejectionOf(() => {
    const root = parseRoot(bytes);
    assertSignedBy(root, root.signed.roles.root, `root version ${root.signed.version}`);
    return { ok: true as const, state: { root } };
  });
}

/**
 * Rebuilds the state from disk. Files that no longer verify under the root (keys were rotated, disk was damaged) are
 * left out: they are fetched again. Expiry is not looked at here (TUF 5.3.4 and 5.4 check it on every update).
 */
export function restoreTrust(stored: StoredTrust): Step {
  const start = trustRoot(stored.root);
  if (!start.ok) return start;
  return rejectionOf(() => {
    const { root } = start.state;
    const highest = stored.highestGeneration === undefined ? {} : { highestGeneration: parseGeneration(stored.highestGeneration) };
    const epoch = stored.epoch === undefined ? {} : { epoch: BigInt(stored.epoch) };
    const timestamp = verified(stored.timestamp, parseTimestamp, root.signed.roles.timestamp);
    const snapshot = verified(stored.snapshot, parseSnapshot, root.signed.roles.snapshot);
    const targets = verified(stored.targets, parseTargets, root.signed.roles.targets);
    return { ok: true as const, state: { root, ...highest, ...epoch, ...(timestamp && { timestamp }), ...(snapshot && { snapshot }), ...(targets && { targets }) } };
  });
}

function verified<F extends TimestampFile | SnapshotFile | TargetsFile>(
  bytes: Uint8Array | undefined,
  parse: (bytes: Uint8Array) => F,
  authority: Authority,
): F | undefined {
  if (bytes === undefined) return undefined;
  const result = rejectionOf(() => {
    const file = parse(bytes);
    assertSignedBy(file, authority, 'stored metadata');
    return { ok: true as const, file };
  });
  return result.ok ? result.file : undefined;
}

export function storedTrust(state: TrustedState): StoredTrust {
  return {
    root: state.root.bytes,
    ...(state.timestamp && { timestamp: state.timestamp.bytes }),
    ...(state.snapshot && { snapshot: state.snapshot.bytes }),
    ...(state.targets && { targets: state.targets.bytes }),
    ...(state.highestGeneration && { highestGeneration: formatGeneration(state.highestGeneration) }),
    ...(state.epoch !== undefined && { epoch: String(state.epoch) }),
  };
}

/**
 * TUF 5.3: one step of the root chain. Version N + 1 carries thresholds of the old and of the new root keys.
 * When the timestamp or snapshot keys change, the files they signed are forgotten (5.3.11): that is how a
 * fast-forward attack is recovered from.
 */
export function updateRoot(state: TrustedState, bytes: Uint8Array): Step {
  return rejectionOf(() => {
    const next = parseRoot(bytes);
    const wanted = state.root.signed.version + 1;
    const what = `root version ${next.signed.version}`;
    assertSignedBy(next, state.root.signed.roles.root, what);
    assertSignedBy(next, next.signed.roles.root, what);
    if (next.signed.version !== wanted) throw new BundleError('root-version-gap', `root version ${wanted} is needed, this is ${next.signed.version}`);
    const rotated = !sameKeys(state.root.signed.roles.timestamp, next.signed.roles.timestamp) || !sameKeys(state.root.signed.roles.snapshot, next.signed.roles.snapshot);
    const { timestamp, snapshot, targets, ...rest } = state;
    const keepTargets = targets !== undefined && !rotated && sameKeys(state.root.signed.roles.targets, next.signed.roles.targets);
    const kept = rotated ? {} : { ...(timestamp && { timestamp }), ...(snapshot && { snapshot }) };
    return { ok: true as const, state: { ...rest, ...kept, ...(keepTargets && { targets }), root: next } };
  });
}

/** Steps through a chain of roots in order, at most {@link BUNDLE_LIMITS.rootRotations}. */
export function updateRoots(state: TrustedState, chain: readonly Uint8Array[]): Step {
  if (chain.length > BUNDLE_LIMITS.rootRotations) {
    return { ok: false, code: 'too-many-rotations', message: `one update steps through at most ${BUNDLE_LIMITS.rootRotations} roots` };
  }
  let current: Step = { ok: true, state };
  for (const bytes of chain) {
    if (!current.ok) return current;
    current = updateRoot(current.state, bytes);
  }
  return current;
}

/** TUF 5.3.10: the newest root must not be expired. Call after the chain, before anything else is updated. */
export function checkRootFresh(state: TrustedState, nowMs: number): Step {
  return rejectionOf(() => {
    assertNotExpired(state.root.signed, nowMs, 'the root metadata');
    return { ok: true as const, state };
  });
}

/** TUF 5.4. The same version again is accepted as no change only when it is byte for byte the same. */
export function updateTimestamp(state: TrustedState, bytes: Uint8Array, nowMs: number): Step {
  return rejectionOf(() => {
    assertNotExpired(state.root.signed, nowMs, 'the root metadata');
    const next = parseTimestamp(bytes);
    assertSignedBy(next, state.root.signed.roles.timestamp, 'the timestamp metadata');
    const old = state.timestamp;
    if (old !== undefined) {
      assertNotOlder(next.signed.version, old.signed.version, 'the timestamp metadata');
      assertNotOlder(next.signed.snapshot.version, old.signed.snapshot.version, 'the snapshot that the timestamp names');
      if (next.signed.version === old.signed.version && next.sha256 !== old.sha256) {
        throw new BundleError('version-mismatch', `two different timestamps carry version ${old.signed.version}`);
      }
    }
    assertNotExpired(next.signed, nowMs, 'the timestamp metadata');
    return { ok: true as const, state: { ...state, timestamp: next } };
  });
}

/** TUF 5.5. */
export function updateSnapshot(state: TrustedState, bytes: Uint8Array, nowMs: number): Step {
  return rejectionOf(() => {
    if (state.timestamp === undefined) throw new BundleError('metadata-missing', 'a snapshot is believed only after a timestamp');
    assertNotExpired(state.timestamp.signed, nowMs, 'the timestamp metadata');
    assertMatches(bytes, state.timestamp.signed.snapshot, 'the snapshot metadata');
    const next = parseSnapshot(bytes);
    assertSignedBy(next, state.root.signed.roles.snapshot, 'the snapshot metadata');
    assertVersion(next.signed.version, state.timestamp.signed.snapshot, 'the snapshot metadata');
    const old = state.snapshot;
    if (old !== undefined) {
      assertNotOlder(next.signed.version, old.signed.version, 'the snapshot metadata');
      assertNotOlder(next.signed.targets.version, old.signed.targets.version, 'the targets that the snapshot names');
    }
    assertNotExpired(next.signed, nowMs, 'the snapshot metadata');
    return { ok: true as const, state: { ...state, snapshot: next } };
  });
}

/** TUF 5.6. */
export function updateTargets(state: TrustedState, bytes: Uint8Array, nowMs: number): Step {
  return rejectionOf(() => {
    if (state.snapshot === undefined) throw new BundleError('metadata-missing', 'targets are believed only after a snapshot');
    assertNotExpired(state.snapshot.signed, nowMs, 'the snapshot metadata');
    assertMatches(bytes, state.snapshot.signed.targets, 'the targets metadata');
    const next = parseTargets(bytes);
    assertSignedBy(next, state.root.signed.roles.targets, 'the targets metadata');
    assertVersion(next.signed.version, state.snapshot.signed.targets, 'the targets metadata');
    assertNotExpired(next.signed, nowMs, 'the targets metadata');
    return { ok: true as const, state: { ...state, targets: next } };
  });
}

/** Records that a generation was accepted; it never goes down. */
export function acceptGeneration(state: TrustedState, generation: Generation): TrustedState {
  const highest = state.highestGeneration;
  return highest !== undefined && compareGenerations(generation, highest) <= 0 ? state : { ...state, highestGeneration: generation };
}

function assertMatches(bytes: Uint8Array, meta: MetaEntry, what: string): void {
  if (bytes.byteLength !== meta.length) throw new BundleError('length-mismatch', `${what} has ${bytes.byteLength} bytes, ${meta.length} were announced`);
  const file = sha256Hex(bytes);
  if (file !== meta.sha256) throw new BundleError('hash-mismatch', `${what} is not the file that was announced`);
}

function assertVersion(version: number, meta: MetaEntry, what: string): void {
  if (version !== meta.version) throw new BundleError('version-mismatch', `${what} is version ${version}, ${meta.version} was announced`);
}

function assertNotOlder(version: number, trusted: number, what: string): void {
  if (version < trusted) throw new BundleError('rollback', `${what} went back from version ${trusted} to ${version}`);
}

function sameKeys(a: Authority, b: Authority): boolean {
  return a.threshold === b.threshold && a.keys.size === b.keys.size && [...a.keys.keys()].every((id) => b.keys.has(id));
}
