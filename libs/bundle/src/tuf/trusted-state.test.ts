import { Metadata, MetadataKind } from '@tufjs/models';
import { describe, expect, it } from 'vitest';
import { DAY, follow, imageMetadata, must, newSigner, newSigners, NOW, rootInput, trusted, YEAR, type Signers } from '../testing/test-authority.ts';
import { sealRoot } from './root.ts';
import { sealSnapshot, sealTimestamp } from './snapshot.ts';
import { checkRootFresh, restoreTrust, storedTrust, trustRoot, updateRoot, updateRoots, updateSnapshot, updateTargets, updateTimestamp, type TrustedState } from './trusted-state.ts';

const signers = newSigners();
const root = (overrides = {}, by = signers.root) => sealRoot(rootInput(signers, overrides), by);

describe('root metadata', () => {
  it('steps to the next version when old and new keys have signed', async () => {
    const next = { ...signers, root: [newSigner()] };
    const bytes = await sealRoot(rootInput(next, { version: 2 }), [...signers.root, ...next.root]);
    expect(updateRoot(must(trustRoot(await root())), bytes)).toMatchObject({ ok: true, state: { root: { signed: { version: 2 } } } });
  });

  it.each([
    ['only the new keys have signed', async (next: Signers) => sealRoot(rootInput(next, { version: 2 }), next.root), 'below-threshold'],
    ['only the old keys have signed', async (next: Signers) => sealRoot(rootInput(next, { version: 2 }), signers.root), 'below-threshold'],
    ['a version is missing', async (next: Signers) => sealRoot(rootInput(next, { version: 3 }), [...signers.root, ...next.root]), 'root-version-gap'],
    ['the version is the same', async (next: Signers) => sealRoot(rootInput(next, { version: 1 }), [...signers.root, ...next.root]), 'root-version-gap'],
  ])('is refused when %s', async (_what, seal, code) => {
    const next = { ...signers, root: [newSigner()] };
    expect(updateRoot(must(trustRoot(await root())), await seal(next))).toMatchObject({ ok: false, code });
  });

  it('needs as many distinct keys as its threshold says', async () => {
    const two = { ...signers, root: [newSigner(), newSigner()] };
    const roles = { ...rootInput(two).roles, root: { keys: two.root.map(({ key }) => key), threshold: 2 } };
    expect(trustRoot(await sealRoot(rootInput(two, { roles }), two.root))).toMatchObject({ ok: true });
    expect(trustRoot(await sealRoot(rootInput(two, { roles }), two.root.slice(0, 1)))).toMatchObject({ ok: false, code: 'below-threshold' });
  });

  it('refuses two signatures of one key id instead of counting them', async () => {
    const file = JSON.parse(Buffer.from(await root()).toString()) as { signatures: unknown[] };
    file.signatures.push(file.signatures[0]);
    expect(trustRoot(Buffer.from(JSON.stringify(file)))).toMatchObject({ ok: false, code: 'duplicate-signature' });
  });

  it('refuses a key that is filed under another id', async () => {
    const file = JSON.parse(Buffer.from(await root()).toString()) as { signed: { keys: Record<string, unknown> } };
    const [first, second] = Object.keys(file.signed.keys) as [string, string];
    file.signed.keys[first] = file.signed.keys[second];
    expect(trustRoot(Buffer.from(JSON.stringify(file)))).toMatchObject({ ok: false, code: 'key-id-mismatch' });
  });

  it('bounds how many versions one update steps through', async () => {
    const chain = Array.from({ length: 257 }, () => new Uint8Array());
    expect(updateRoots(must(trustRoot(await root())), chain)).toMatchObject({ ok: false, code: 'too-many-rotations' });
  });

  it('may pass through expired versions, but not end in one', async () => {
    const expired = await root({ version: 2, expiresMs: NOW - DAY });
    const last = await root({ version: 3 });
    const state = must(trustRoot(await root()));
    expect(checkRootFresh(must(updateRoots(state, [expired, last])), NOW)).toMatchObject({ ok: true });
    expect(checkRootFresh(must(updateRoots(state, [expired])), NOW)).toMatchObject({ ok: false, code: 'expired' });
  });
});

describe('timestamp, snapshot and targets', () => {
  const start = async (): Promise<TrustedState> => must(trustRoot(await root()));

  it('are followed in order', async () => {
    const state = follow(await start(), await imageMetadata(signers));
    expect(state.targets?.signed.programs.size).toBe(1);
  });

  it('refuses a snapshot before a timestamp and targets before a snapshot', async () => {
    const files = await imageMetadata(signers);
    expect(updateSnapshot(await start(), files.snapshot, NOW)).toMatchObject({ code: 'metadata-missing' });
    expect(updateTargets(await start(), files.targets, NOW)).toMatchObject({ code: 'metadata-missing' });
  });

  it('refuses a timestamp that went back, and one that changed without a new version', async () => {
    const state = follow(await start(), await imageMetadata(signers, { timestamp: 5, snapshot: 5, targets: 5 }));
    const older = await imageMetadata(signers, { timestamp: 4, snapshot: 5, targets: 5 });
    expect(updateTimestamp(state, older.timestamp, NOW)).toMatchObject({ code: 'rollback' });
    const other = await imageMetadata(signers, { timestamp: 5, snapshot: 6, targets: 5 });
    expect(updateTimestamp(state, other.timestamp, NOW)).toMatchObject({ code: 'version-mismatch' });
    const lowSnapshot = await imageMetadata(signers, { timestamp: 6, snapshot: 4, targets: 5 });
    expect(updateTimestamp(state, lowSnapshot.timestamp, NOW)).toMatchObject({ code: 'rollback' });
  });

  it('refuses a snapshot under which the targets went back, though a fresh timestamp names it', async () => {
    const state = follow(await start(), await imageMetadata(signers, { timestamp: 5, snapshot: 5, targets: 5 }));
    const older = await imageMetadata(signers, { timestamp: 6, snapshot: 6, targets: 4 });
    const stamped = must(updateTimestamp(state, older.timestamp, NOW));
    expect(updateSnapshot(stamped, older.snapshot, NOW)).toMatchObject({ code: 'rollback' });
  });

  it('refuses files that are not the announced ones (mix-and-match)', async () => {
    const files = await imageMetadata(signers);
    const others = await imageMetadata(signers, { expiresMs: NOW + 2 * DAY });
    const stamped = must(updateTimestamp(await start(), files.timestamp, NOW));
    expect(updateSnapshot(stamped, others.snapshot, NOW)).toMatchObject({ code: 'hash-mismatch' });
    expect(updateSnapshot(stamped, Buffer.concat([files.snapshot, Buffer.from(' ')]), NOW)).toMatchObject({ code: 'length-mismatch' });
    const snapped = must(updateSnapshot(stamped, files.snapshot, NOW));
    expect(updateTargets(snapped, others.targets, NOW)).toMatchObject({ code: 'hash-mismatch' });
  });

  it('refuses what has expired (freeze)', async () => {
    const files = await imageMetadata(signers, { expiresMs: NOW + DAY });
    expect(updateTimestamp(await start(), files.timestamp, NOW + DAY)).toMatchObject({ code: 'expired' });
    const stamped = must(updateTimestamp(await start(), files.timestamp, NOW));
    expect(updateSnapshot(stamped, files.snapshot, NOW + DAY)).toMatchObject({ code: 'expired' });
  });

  it.each(['timestamp', 'snapshot', 'targets'] as const)('refuses %s metadata signed by another role', async (role) => {
    const files = await imageMetadata({ ...signers, [role]: signers.director });
    const result = () => follow(must(trustRoot(bytes)), files);
    const bytes = await root();
    expect(result).toThrow(/below-threshold/);
  });

  it('forgets timestamp and snapshot when their keys rotate, so that a fast-forward can be undone', async () => {
    const state = follow(await start(), await imageMetadata(signers, { timestamp: 4_000_000_000, snapshot: 4_000_000_000, targets: 2 }));
    const next = { ...signers, timestamp: [newSigner()], snapshot: [newSigner()] };
    const rotated = must(updateRoot(state, await sealRoot(rootInput(next, { version: 2 }), signers.root)));
    expect([rotated.timestamp, rotated.snapshot]).toEqual([undefined, undefined]);
    expect(follow(rotated, await imageMetadata(next, { timestamp: 1, snapshot: 1, targets: 2 })).timestamp?.signed.version).toBe(1);
  });
});

describe('restoreTrust', () => {
  it('gives back what was stored', async () => {
    const state: TrustedState = { ...(await trusted(signers)), highestGeneration: { epoch: 2n, n: 7n }, epoch: 2n };
    expect(restoreTrust(storedTrust(state))).toEqual({ ok: true, state: expect.objectContaining({ highestGeneration: { epoch: 2n, n: 7n }, epoch: 2n, targets: expect.anything() as unknown }) as unknown });
  });

  it('leaves out what the root does not vouch for any more', async () => {
    const stored = storedTrust(await trusted(signers));
    const next = { ...signers, timestamp: [newSigner()] };
    const restored = must(restoreTrust({ ...stored, root: await sealRoot(rootInput(next), next.root) }));
    expect([restored.timestamp, restored.snapshot === undefined]).toEqual([undefined, false]);
  });

  it('refuses a root that is damaged', async () => {
    expect(restoreTrust({ root: Buffer.from('{"signed":') })).toMatchObject({ ok: false, code: 'malformed' });
  });
});

describe('an independent TUF implementation (@tufjs/models) agrees', () => {
  const read = <K extends MetadataKind>(kind: K, bytes: Uint8Array) => Metadata.fromJSON(kind as MetadataKind.Root, JSON.parse(Buffer.from(bytes).toString()) as never);

  it.each(['ed25519', 'p256'] as const)('that our metadata verifies (%s)', async (kind) => {
    const own = newSigners(kind);
    const rootFile = read(MetadataKind.Root, await sealRoot(rootInput(own), own.root));
    rootFile.verifyDelegate('root', rootFile);
    const files = await imageMetadata(own);
    const targets = Metadata.fromJSON(MetadataKind.Targets, JSON.parse(Buffer.from(files.targets).toString()) as never);
    const snapshot = Metadata.fromJSON(MetadataKind.Snapshot, JSON.parse(Buffer.from(files.snapshot).toString()) as never);
    const timestamp = Metadata.fromJSON(MetadataKind.Timestamp, JSON.parse(Buffer.from(files.timestamp).toString()) as never);
    rootFile.verifyDelegate('targets', targets);
    rootFile.verifyDelegate('snapshot', snapshot);
    rootFile.verifyDelegate('timestamp', timestamp);
    timestamp.signed.snapshotMeta.verify(Buffer.from(files.snapshot));
    snapshot.signed.meta['targets.json']?.verify(Buffer.from(files.targets));
    expect(Object.keys(targets.signed.targets)).toHaveLength(1);
  });

  it('that a signature of another role does not', async () => {
    const rootFile = read(MetadataKind.Root, await root());
    const forged = await sealTimestamp({ version: 1, expiresMs: NOW + YEAR, snapshot: { version: 1, bytes: Buffer.from('x') } }, signers.snapshot);
    const timestamp = Metadata.fromJSON(MetadataKind.Timestamp, JSON.parse(Buffer.from(forged).toString()) as never);
    expect(() => rootFile.verifyDelegate('timestamp', timestamp)).toThrow();
    const snapshot = await sealSnapshot({ version: 1, expiresMs: NOW + YEAR, targets: { version: 1, bytes: Buffer.from('x') } }, signers.snapshot);
    expect(updateTimestamp(must(trustRoot(await root())), snapshot, NOW)).toMatchObject({ code: 'wrong-type' });
  });
});
