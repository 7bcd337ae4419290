import { parseSnapshot, parseTargets, parseTimestamp, sealSnapshot, sealTargets, sealTimestamp, type PublishedProgram, type Signer } from '@palisade/bundle';
import type { WorkerKeys } from '@palisade/keys';
import type { TrustMetadataStore } from '@palisade/store';

const DAY_MS = 24 * 3600 * 1000;
const TARGETS_LIFETIME_MS = 365 * DAY_MS;
const SNAPSHOT_LIFETIME_MS = 30 * DAY_MS;
const TIMESTAMP_LIFETIME_MS = 7 * DAY_MS;
/** Signed again this long before it ends. */
const TIMESTAMP_MARGIN_MS = 6 * DAY_MS;

/**
 * Publishes roots and the image repository's metadata for agents to fetch. With the image key offline the targets are
 * signed in a ceremony and only the snapshot and timestamp are kept fresh here.
 */
export class ImageRepository {
  readonly #store: TrustMetadataStore;
  readonly #keys: WorkerKeys;
  readonly #now: () => number;

  constructor(store: TrustMetadataStore, keys: WorkerKeys, now: () => number) {
    this.#store = store;
    this.#keys = keys;
    this.#now = now;
  }

  /**
   * Makes sure that the programs are published and that snapshot and timestamp are fresh; does nothing when they are.
   * @returns version of the targets that list the programs
   */
  async publish(programs: readonly PublishedProgram[]): Promise<number> {
    await this.#store.publish(this.#keys.roots.map((bytes, index) => ({ role: 'root', version: index + 1, bytes })));
    const targets = await this.#targets(programs);
    const snapshot = await this.#snapshot(targets);
    await this.#timestamp(snapshot);
    return targets.version;
  }

  async #targets(programs: readonly PublishedProgram[]): Promise<{ version: number; bytes: Uint8Array }> {
    const stored = await this.#store.newest('targets');
    const known = stored === undefined ? undefined : parseTargets(stored.bytes);
    const current = known !== undefined && (this.#keys.image === undefined || isSignedBy(known, this.#keys.image));
    if (stored !== undefined && known !== undefined && current && programs.every((program) => isListed(program, known.signed.programs.get(program.sha256)))) return stored;
    if (this.#keys.image === undefined) throw new Error('The image authority has not published these programs and its key is not here; sign targets in a ceremony.');
    // Old programs stay published: a rollback ships them again.
    const old = known === undefined ? [] : [...known.signed.programs.values()].flat();
    const all = [...old.filter((program) => !programs.some((next) => next.sha256 === program.sha256 && isListed(next, [program]))), ...programs];
    const version = (stored?.version ?? 0) + 1;
    const bytes = await sealTargets({ version, expiresMs: this.#now() + TARGETS_LIFETIME_MS, programs: all }, [this.#keys.image]);
    return this.#keep('targets', version, bytes);
  }

  async #snapshot(targets: { version: number; bytes: Uint8Array }): Promise<{ version: number; bytes: Uint8Array }> {
    const stored = await this.#store.newest('snapshot');
    const known = stored === undefined ? undefined : parseSnapshot(stored.bytes);
    const fresh = known !== undefined && isSignedBy(known, this.#keys.snapshot) && known.signed.targets.version === targets.version && known.signed.expiresMs > this.#now() + SNAPSHOT_LIFETIME_MS / 2;
    if (stored !== undefined && fresh) return stored;
    const version = (stored?.version ?? 0) + 1;
    const bytes = await sealSnapshot({ version, expiresMs: this.#now() + SNAPSHOT_LIFETIME_MS, targets }, [this.#keys.snapshot]);
    return this.#keep('snapshot', version, bytes);
  }

  async #timestamp(snapshot: { version: number; bytes: Uint8Array }): Promise<void> {
    const stored = await this.#store.newest('timestamp');
    const known = stored === undefined ? undefined : parseTimestamp(stored.bytes);
    if (known !== undefined && isSignedBy(known, this.#keys.timestamp) && known.signed.snapshot.version === snapshot.version && known.signed.expiresMs > this.#now() + TIMESTAMP_MARGIN_MS) return;
    const version = (stored?.version ?? 0) + 1;
    const bytes = await sealTimestamp({ version, expiresMs: this.#now() + TIMESTAMP_LIFETIME_MS, snapshot }, [this.#keys.timestamp]);
    await this.#keep('timestamp', version, bytes);
  }

  /** Two workers may sign the same version at once; the first stored one is what both go on with. */
  async #keep(role: string, version: number, bytes: Uint8Array): Promise<{ version: number; bytes: Uint8Array }> {
    await this.#store.publish([{ role, version, bytes }]);
    return (await this.#store.newest(role)) ?? { version, bytes };
  }
}

/** After a rotation what the old key signed is worth nothing to nodes that follow the root, however fresh it is. */
function isSignedBy(file: { readonly signatures: readonly { readonly keyId: string }[] }, signer: Signer): boolean {
  return file.signatures.some(({ keyId }) => keyId === signer.keyId);
}

function isListed(program: PublishedProgram, listed: readonly PublishedProgram[] | undefined): boolean {
  return (listed ?? []).some((one) => one.name === program.name && one.arch === program.arch && one.bytes === program.bytes && one.featureLevel === program.featureLevel);
}
