import { describe, expect, it } from 'vitest';
import { bundleInput, DAY, NODE, newSigners, NOW, sealed, trusted, assignTo, YEAR, imageMetadata, follow, PUBLISHED } from '../testing/test-authority.ts';
import { sealBundle } from './seal-bundle.ts';
import { verifyBlob, verifyBundle } from './verify-bundle.ts';

const signers = newSigners();

describe('verifyBundle', () => {
  it('accepts a bundle that both authorities agree on and remembers its generation', async () => {
    const { files, bundle } = await sealed(signers);
    const verdict = verifyBundle(await trusted(signers), files, NODE, NOW);
    expect(verdict).toMatchObject({ ok: true, manifest: bundle.manifest, state: { highestGeneration: { epoch: 1n, n: 1n } } });
  });

  it('accepts ECDSA P-256 authorities', async () => {
    const p256 = newSigners('p256');
    expect(verifyBundle(await trusted(p256), (await sealed(p256)).files, NODE, NOW)).toMatchObject({ ok: true });
  });

  it('refuses a program that the image authority has not published, whoever the director is', async () => {
    const { files } = await sealed(signers, { programs: [{ name: 'endpoint', type: 'sched_cls', attach: 'tcx/ingress', object: Buffer.from('unknown code') }] });
    expect(verifyBundle(await trusted(signers), files, NODE, NOW)).toMatchObject({ ok: false, code: 'program-not-published' });
  });

  it('refuses a published program under another name', async () => {
    const { files } = await sealed(signers, { programs: [{ name: 'cgroup', type: 'sched_cls', attach: 'tcx/ingress', object: Buffer.from('an eBPF object') }] });
    expect(verifyBundle(await trusted(signers), files, NODE, NOW)).toMatchObject({ ok: false, code: 'program-not-published' });
  });

  it('refuses a manifest signed by the image authority alone', async () => {
    const { files } = await sealed({ ...signers, director: signers.targets });
    expect(verifyBundle(await trusted(signers), files, NODE, NOW)).toMatchObject({ ok: false, code: 'below-threshold' });
  });

  it('refuses an older generation than the highest seen and accepts a higher one with the old content', async () => {
    const second = await sealed(signers, { generation: { epoch: 1n, n: 2n } });
    const first = await sealed(signers, { generation: { epoch: 1n, n: 1n } });
    const rollback = await sealed(signers, { generation: { epoch: 1n, n: 3n }, revertOf: { epoch: 1n, n: 1n } });
    const verdict = verifyBundle(await trusted(signers), second.files, NODE, NOW);
    if (!verdict.ok) throw new Error(verdict.message);
    expect(verifyBundle(verdict.state, first.files, NODE, NOW)).toMatchObject({ ok: false, code: 'generation-not-newer' });
    expect(verifyBundle(verdict.state, rollback.files, NODE, NOW)).toMatchObject({ ok: true });
    expect(rollback.bundle.contentDigest).toBe(first.bundle.contentDigest);
  });

  it('refuses an epoch that the root authority has not opened', async () => {
    const { files } = await sealed(signers, { generation: { epoch: 2n, n: 1n } });
    expect(verifyBundle(await trusted(signers), files, NODE, NOW)).toMatchObject({ ok: false, code: 'below-threshold' });
  });

  it('refuses a manifest that the director has not assigned to this node', async () => {
    const { bundle } = await sealed(signers);
    const files = { manifest: bundle.envelope, assignment: await assignTo(bundle, signers.director, 'node-2') };
    expect(verifyBundle(await trusted(signers), files, NODE, NOW)).toMatchObject({ ok: false, code: 'not-assigned' });
  });

  it.each([
    ['another cluster', { clusterId: 'cluster-2' }, 'wrong-cluster'],
    ['another tenant', { tenantId: 'tenant-2' }, 'wrong-cluster'],
    ['another architecture', { arch: 'arm64' as const }, 'wrong-arch'],
    ['a newer agent', { minAgent: '0.2.0' }, 'agent-too-old'],
    ['a newer kernel', { kernel: { min: '6.18', features: [], btf: false } }, 'kernel-unsupported'],
    ['a feature that is missing', { kernel: { min: '6.1', features: ['lsm'], btf: true } }, 'kernel-unsupported'],
    ['a time that has passed', { expiresMs: NOW }, 'expired'],
    ['newer image targets', { imageVersion: 2 }, 'mix-and-match'],
  ])('refuses a bundle for %s', async (_what, overrides, code) => {
    expect(verifyBundle(await trusted(signers), (await sealed(signers, overrides)).files, NODE, NOW)).toMatchObject({ ok: false, code });
  });

  it('refuses to load under expired metadata', async () => {
    const { files } = await sealed(signers, { expiresMs: NOW + 2 * YEAR });
    expect(verifyBundle(await trusted(signers), files, NODE, NOW + 2 * DAY)).toMatchObject({ ok: false, code: 'expired' });
  });

  it('still accepts an old build after newer ones were published beside it', async () => {
    const state = await trusted(signers);
    const other = { ...PUBLISHED, sha256: 'ab'.repeat(32) };
    const newer = follow(state, await imageMetadata(signers, { targets: 2, snapshot: 2, timestamp: 2, programs: [PUBLISHED, other] }));
    expect(verifyBundle(newer, (await sealed(signers, { imageVersion: 2 })).files, NODE, NOW)).toMatchObject({ ok: true });
  });
});

describe('sealBundle', () => {
  it('gives the same digest for the same content whatever the order, revision and expiry', async () => {
    const map = (name: string) => ({ name, type: 'hash', keySize: 4, valueSize: 4, maxEntries: 1 });
    const a = await sealBundle(bundleInput({ maps: [map('b'), map('a')], policy: { revision: 1, content: Buffer.from('x') } }), signers.director);
    const b = await sealBundle(bundleInput({ maps: [map('a'), map('b')], policy: { revision: 9, content: Buffer.from('x') }, expiresMs: NOW + 2 * DAY }), signers.director);
    expect(a.contentDigest).toBe(b.contentDigest);
    expect(a.manifestSha256).not.toBe(b.manifestSha256);
  });

  it('signs nothing that would not parse back', async () => {
    await expect(sealBundle(bundleInput({ minAgent: 'newest' }), signers.director)).rejects.toMatchObject({ code: 'malformed', pointer: '/min_agent' });
  });

  it('hands out every blob that the manifest names', async () => {
    const { bundle } = await sealed(signers, { shadowPolicy: { revision: 2, content: Buffer.from('shadow') } });
    for (const reference of [...bundle.manifest.programs, bundle.manifest.policy, bundle.manifest.shadowPolicy!]) {
      expect(verifyBlob(reference, bundle.blobs.get(reference.sha256)!)).toEqual({ ok: true });
    }
    expect(verifyBlob(bundle.manifest.policy, Buffer.from('{ }'))).toMatchObject({ code: 'length-mismatch' });
    expect(verifyBlob(bundle.manifest.policy, Buffer.from('[]'))).toMatchObject({ code: 'hash-mismatch' });
  });
});
