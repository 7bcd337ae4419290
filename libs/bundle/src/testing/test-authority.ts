import { generateKeyPairSync } from 'node:crypto';
import { createHash } from 'node:crypto';
import { sealAssignment, type AssignmentProof } from '../assignment/assignment.ts';
import { sealBundle, type BundleInput, type SealedBundle } from '../manifest/seal-bundle.ts';
import type { NodeContext } from '../manifest/verify-bundle.ts';
import { localSigner, type Signer } from '../signing/signer.ts';
import { sealTargets, type PublishedProgram } from '../tuf/image-targets.ts';
import { sealRoot, type RootInput, type RootRole } from '../tuf/root.ts';
import { sealSnapshot, sealTimestamp } from '../tuf/snapshot.ts';
import { trustRoot, updateSnapshot, updateTargets, updateTimestamp, type Step, type TrustedState } from '../tuf/trusted-state.ts';
import { TEST_CA_PEM } from './test-ca.ts';

export const NOW = Date.parse('2026-11-22T12:00:00Z');
export const DAY = 86_400_000;
export const YEAR = 365 * DAY;

export const NODE: NodeContext = {
  tenantId: 'tenant-1',
  clusterId: 'cluster-1',
  nodeId: 'node-1',
  arch: 'amd64',
  agentVersion: '0.1.0',
  kernelRelease: '6.12.3',
  kernelFeatures: { tcx: true, btf: true, ringbuf: true },
};

export const OBJECT = Buffer.from('an eBPF object');

export type Signers = Readonly<Record<RootRole, readonly Signer[]>>;

export function newSigner(kind: 'ed25519' | 'p256' = 'ed25519'): Signer {
  return localSigner(kind === 'ed25519' ? generateKeyPairSync('ed25519').privateKey : generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey);
}

export function newSigners(kind: 'ed25519' | 'p256' = 'ed25519'): Signers {
  return { root: [newSigner(kind)], targets: [newSigner(kind)], director: [newSigner(kind)], snapshot: [newSigner(kind)], timestamp: [newSigner(kind)] };
}

export function rootInput(signers: Signers, overrides: Partial<RootInput> = {}): RootInput {
  const role = (name: RootRole) => ({ keys: signers[name].map((signer) => signer.key), threshold: 1 });
  return {
    version: 1,
    expiresMs: NOW + YEAR,
    roles: { root: role('root'), targets: role('targets'), director: role('director'), snapshot: role('snapshot'), timestamp: role('timestamp') },
    pinned: { trustDomain: 'palisade.test', nodeCas: [TEST_CA_PEM], gatewayCas: [TEST_CA_PEM] },
    ...overrides,
  };
}

export const PUBLISHED: PublishedProgram = {
  name: 'endpoint',
  arch: 'amd64',
  featureLevel: 'base',
  sha256: createHash('sha256').update(OBJECT).digest('hex'),
  bytes: OBJECT.length,
  compiler: 'clang 19.1.7',
};

export function must(step: Step): TrustedState {
  if (!step.ok) throw new Error(`${step.code}: ${step.message}`);
  return step.state;
}

export interface MetadataVersions {
  readonly targets?: number;
  readonly snapshot?: number;
  readonly timestamp?: number;
  readonly expiresMs?: number;
  readonly programs?: readonly PublishedProgram[];
}

/** A consistent set of image metadata. */
export async function imageMetadata(signers: Signers, options: MetadataVersions = {}) {
  const expiresMs = options.expiresMs ?? NOW + DAY;
  const versions = { targets: options.targets ?? 1, snapshot: options.snapshot ?? 1, timestamp: options.timestamp ?? 1 };
  const targets = await sealTargets({ version: versions.targets, expiresMs, programs: options.programs ?? [PUBLISHED] }, signers.targets);
  const snapshot = await sealSnapshot({ version: versions.snapshot, expiresMs, targets: { version: versions.targets, bytes: targets } }, signers.snapshot);
  const timestamp = await sealTimestamp({ version: versions.timestamp, expiresMs, snapshot: { version: versions.snapshot, bytes: snapshot } }, signers.timestamp);
  return { targets, snapshot, timestamp };
}

export function follow(state: TrustedState, files: Awaited<ReturnType<typeof imageMetadata>>, now = NOW): TrustedState {
  return must(updateTargets(must(updateSnapshot(must(updateTimestamp(state, files.timestamp, now)), files.snapshot, now)), files.targets, now));
}

/** Trust that has followed one set of image metadata. */
export async function trusted(signers: Signers): Promise<TrustedState> {
  return follow(must(trustRoot(await sealRoot(rootInput(signers), signers.root))), await imageMetadata(signers));
}

export function bundleInput(overrides: Partial<BundleInput> = {}): BundleInput {
  return {
    bundleId: 'bundle-1',
    tenantId: NODE.tenantId,
    clusterId: NODE.clusterId,
    generation: { epoch: 1n, n: 1n },
    arch: 'amd64',
    kernel: { min: '6.1', features: ['ringbuf'], btf: true },
    programs: [{ name: 'endpoint', type: 'sched_cls', attach: 'tcx/ingress', object: OBJECT }],
    maps: [{ name: 'policy', type: 'hash', keySize: 16, valueSize: 8, maxEntries: 65536 }],
    policy: { revision: 1, content: Buffer.from('{}') },
    minimumIdentityRevision: 0,
    imageVersion: 1,
    minAgent: '0.1.0',
    expiresMs: NOW + DAY,
    ...overrides,
  };
}

export async function assignTo(bundle: SealedBundle, director: readonly Signer[], nodeId = NODE.nodeId): Promise<AssignmentProof> {
  const proofs = await sealAssignment(
    {
      tenantId: bundle.manifest.tenantId,
      clusterId: bundle.manifest.clusterId,
      generation: bundle.manifest.generation,
      expiresMs: NOW + DAY,
      nodes: [nodeId, 'node-a', 'node-z'].map((id) => ({ nodeId: id, manifestSha256: bundle.manifestSha256 })),
    },
    director,
  );
  return proofs.get(nodeId) as AssignmentProof;
}

export async function sealed(signers: Signers, overrides: Partial<BundleInput> = {}) {
  const bundle = await sealBundle(bundleInput(overrides), signers.director);
  return { bundle, files: { manifest: bundle.envelope, assignment: await assignTo(bundle, signers.director) } };
}
