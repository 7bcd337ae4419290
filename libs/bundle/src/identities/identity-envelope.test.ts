import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { acceptEpochRecovery, sealEpochRecovery } from '../assignment/epoch-recovery.ts';
import { verifyBundle } from '../manifest/verify-bundle.ts';
import { localSigner } from '../signing/signer.ts';
import { must, newSigners, NODE, NOW, sealed, trusted } from '../testing/test-authority.ts';
import { sealEndpointReport, verifyEndpointReport } from './endpoint-report.ts';
import { sealIdentities, verifyIdentities } from './identity-envelope.ts';

const signers = newSigners();
const SCOPE = { tenantId: NODE.tenantId, clusterId: NODE.clusterId };
const snapshot = (revision: number, epoch = 1n) => sealIdentities({ kind: 'snapshot', ...SCOPE, epoch, revision, content: { identities: [] } }, signers.director);
const increment = (previousRevision: number, revision: number) => sealIdentities({ kind: 'increment', ...SCOPE, epoch: 1n, revision, previousRevision, content: {} }, signers.director);
const at = (revision: number) => ({ epoch: 1n, revision });

describe('the identity stream', () => {
  it('takes a snapshot, then increments without a gap', async () => {
    const state = await trusted(signers);
    expect(verifyIdentities(state, await snapshot(4), SCOPE, undefined)).toMatchObject({ ok: true, message: { kind: 'snapshot', revision: 4 } });
    expect(verifyIdentities(state, await increment(4, 5), SCOPE, at(4))).toMatchObject({ ok: true, message: { revision: 5, previousRevision: 4 } });
  });

  it.each([
    ['an increment that skips one', () => increment(5, 6), 'identity-gap'],
    ['a replayed increment', () => increment(2, 3), 'identity-rollback'],
    ['an older snapshot', () => snapshot(3), 'identity-rollback'],
    ['an epoch that the root has not opened', () => snapshot(1, 2n), 'below-threshold'],
    ['another key', () => sealIdentities({ kind: 'snapshot', ...SCOPE, epoch: 1n, revision: 9, content: {} }, signers.targets), 'below-threshold'],
    ['another cluster', () => sealIdentities({ kind: 'snapshot', tenantId: 'tenant-1', clusterId: 'other', epoch: 1n, revision: 9, content: {} }, signers.director), 'wrong-cluster'],
  ])('refuses %s', async (_what, seal, code) => {
    expect(verifyIdentities(await trusted(signers), await seal(), SCOPE, at(4))).toMatchObject({ ok: false, code });
  });

  it('does not take a manifest for an identity message', async () => {
    const { bundle } = await sealed(signers);
    expect(verifyIdentities(await trusted(signers), bundle.envelope, SCOPE, undefined)).toMatchObject({ ok: false, code: 'wrong-type' });
  });
});

describe('epoch recovery after a database restore', () => {
  it('lets a lower number of a higher epoch in, when the root says so', async () => {
    const { state } = verifyBundle(await trusted(signers), (await sealed(signers, { generation: { epoch: 1n, n: 90n } })).files, NODE, NOW) as { state: Awaited<ReturnType<typeof trusted>> };
    const restored = (await sealed(signers, { generation: { epoch: 2n, n: 1n } })).files;
    expect(verifyBundle(state, restored, NODE, NOW)).toMatchObject({ ok: false, code: 'below-threshold' });
    const recovered = must(acceptEpochRecovery(state, await sealEpochRecovery({ ...SCOPE, epoch: 2n }, signers.root), SCOPE));
    expect(verifyBundle(recovered, restored, NODE, NOW)).toMatchObject({ ok: true });
    expect(verifyIdentities(recovered, await snapshot(1, 2n), SCOPE, at(50))).toMatchObject({ ok: true });
  });

  it('is refused from the director, and for another cluster', async () => {
    const state = await trusted(signers);
    expect(acceptEpochRecovery(state, await sealEpochRecovery({ ...SCOPE, epoch: 2n }, signers.director), SCOPE)).toMatchObject({ code: 'below-threshold' });
    expect(acceptEpochRecovery(state, await sealEpochRecovery({ tenantId: 'tenant-1', clusterId: 'other', epoch: 2n }, signers.root), SCOPE)).toMatchObject({ code: 'wrong-cluster' });
  });
});

describe('endpoint reports', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const report = {
    nodeId: 'node-1', bootId: 'boot', boot: 1, sequence: 1, services: [],
    endpoints: [{ key: 'pod/a/b', namespace: 'a', name: 'b', labels: { __proto__x: '1' }, namespaceLabels: {}, network: 'default', addresses: ['10.0.0.1'], namedPorts: { http: { port: 80, protocol: 'TCP' } }, hostNetwork: false }],
  };

  it('are read back as they were sealed, for any form of the enrolled key', async () => {
    const envelope = await sealEndpointReport(report, localSigner(privateKey));
    for (const key of [publicKey, publicKey.export({ type: 'spki', format: 'pem' }) as string, publicKey.export({ type: 'spki', format: 'der' })]) {
      expect(verifyEndpointReport(envelope, key, 'node-1')).toEqual({ ok: true, report });
    }
  });

  it('are refused from another key or for another node', async () => {
    const envelope = await sealEndpointReport(report, localSigner(privateKey));
    const other = generateKeyPairSync('ed25519').publicKey;
    expect(verifyEndpointReport(envelope, other, 'node-1')).toMatchObject({ code: 'below-threshold' });
    expect(verifyEndpointReport(envelope, publicKey, 'node-2')).toMatchObject({ ok: false, code: 'wrong-cluster' });
  });
});
