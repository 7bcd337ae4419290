import { BundleError, rejectionOf, type Rejection } from '../bundle-error.ts';
import { sha256Hex } from '../canonical/sha256.ts';
import { assertAssigned, type AssignmentProof } from '../assignment/assignment.ts';
import { assertEpoch } from '../assignment/epoch-recovery.ts';
import { compareGenerations, formatGeneration } from '../generation.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import { parseJson } from '../canonical/json-reader.ts';
import { openEnvelope, parseEnvelope } from '../signing/dsse.ts';
import type { Arch, TargetsFile } from '../tuf/image-targets.ts';
import { assertNotExpired } from '../tuf/metadata.ts';
import { acceptGeneration, type TrustedState } from '../tuf/trusted-state.ts';
import { contentDigest } from './content-digest.ts';
import { MANIFEST_PAYLOAD_TYPE, parseManifest, type BlobReference, type Manifest, type ManifestProgram } from './manifest.ts';

/** Who is asking: a bundle is verified for one node. */
export interface NodeContext {
  readonly tenantId: string;
  readonly clusterId: string;
  readonly nodeId: string;
  readonly arch: Arch;
  /** `major.minor.patch` */
  readonly agentVersion: string;
  /** `uname -r` */
  readonly kernelRelease: string;
  readonly kernelFeatures: Readonly<Record<string, boolean>>;
}

export interface BundleFiles {
  /** DSSE envelope of the manifest. */
  readonly manifest: Uint8Array;
  readonly assignment: AssignmentProof;
}

export type BundleVerdict = { readonly ok: true; readonly state: TrustedState; readonly manifest: Manifest } | Rejection;

/**
 * Decides whether this node may load a bundle: the director says that this node gets this manifest, and the image
 * authority says that every program in it exists. The returned state remembers the generation; persist it before
 * anything is loaded. Blobs are checked by {@link verifyBlob} when they arrive.
 *
 * The generation already accepted last may be verified again (a load that was interrupted); anything older is refused.
 */
export function verifyBundle(state: TrustedState, files: BundleFiles, node: NodeContext, nowMs: number): BundleVerdict {
  return rejectionOf(() => {
    assertNotExpired(state.root.signed, nowMs, 'the root metadata');
    const manifest = openManifest(state, files.manifest);
    assertForNode(manifest, node);
    assertEpoch(state, manifest.generation);
    assertNewer(state, manifest);
    if (manifest.expiresMs <= nowMs) {
      throw new BundleError('expired', `the manifest of generation ${formatGeneration(manifest.generation)} expired at ${new Date(manifest.expiresMs).toISOString()}`);
    }
    assertAssigned(state, files.assignment, { ...node, generation: manifest.generation, manifestSha256: sha256Hex(files.manifest) }, nowMs);
    assertPublished(manifest, freshTargets(state, nowMs));
    return { ok: true as const, state: acceptGeneration(state, manifest.generation), manifest };
  });
}

/**
 * Reads back a bundle that this node verified and kept, by the hash it recorded then. Signatures, expiry and generation
 * are not looked at again: rotating a key or letting time pass blocks *new* loads, it never takes away what runs.
 */
export function readKeptBundle(envelope: Uint8Array, manifestSha256: string): { readonly ok: true; readonly manifest: Manifest } | Rejection {
  return rejectionOf(() => {
    if (sha256Hex(envelope) !== manifestSha256) throw new BundleError('hash-mismatch', 'the kept manifest is not the one that was accepted');
    const { payload } = parseEnvelope(envelope, BUNDLE_LIMITS.manifestBytes, 'the kept manifest');
    return { ok: true as const, manifest: withTrueDigest(parseManifest(parseJson(payload, BUNDLE_LIMITS.manifestBytes, 'the kept manifest'))) };
  });
}

/** @returns `length-mismatch` or `hash-mismatch` where the bytes are not the ones the manifest names */
export function verifyBlob(reference: BlobReference, bytes: Uint8Array): { readonly ok: true } | Rejection {
  return rejectionOf(() => {
    if (bytes.byteLength !== reference.bytes) throw new BundleError('length-mismatch', `a blob has ${bytes.byteLength} bytes, the manifest says ${reference.bytes}`);
    if (sha256Hex(bytes) !== reference.sha256) throw new BundleError('hash-mismatch', `a blob does not hash to ${reference.sha256}`);
    return { ok: true as const };
  });
}

function openManifest(state: TrustedState, envelope: Uint8Array): Manifest {
  const authority = state.root.signed.roles.director;
  const { payload } = openEnvelope(envelope, { payloadType: MANIFEST_PAYLOAD_TYPE, authority, maxBytes: BUNDLE_LIMITS.manifestBytes, what: 'the manifest' });
  return withTrueDigest(parseManifest(payload));
}

function withTrueDigest(manifest: Manifest): Manifest {
  const digest = contentDigest(manifest.programs, { live: manifest.policy, ...(manifest.shadowPolicy && { shadow: manifest.shadowPolicy }) }, manifest.maps);
  if (digest !== manifest.contentDigest) throw new BundleError('content-digest-mismatch', 'the manifest states a content digest that its content does not have');
  return manifest;
}

function assertForNode(manifest: Manifest, node: NodeContext): void {
  if (manifest.tenantId !== node.tenantId || manifest.clusterId !== node.clusterId) {
    throw new BundleError('wrong-cluster', `the manifest is for cluster ${manifest.clusterId}, this node is in ${node.clusterId}`);
  }
  if (manifest.arch !== node.arch) throw new BundleError('wrong-arch', `the manifest is for ${manifest.arch}, this node is ${node.arch}`);
  if (compareDotted(node.agentVersion, manifest.minAgent) < 0) {
    throw new BundleError('agent-too-old', `the bundle needs agent ${manifest.minAgent}, this is ${node.agentVersion}`);
  }
  if (compareDotted(node.kernelRelease, manifest.kernel.min) < 0) {
    throw new BundleError('kernel-unsupported', `the bundle needs kernel ${manifest.kernel.min}, this is ${node.kernelRelease}`);
  }
  const needed = manifest.kernel.btf ? [...manifest.kernel.features, 'btf'] : manifest.kernel.features;
  const missing = needed.filter((feature) => node.kernelFeatures[feature] !== true);
  if (missing.length > 0) throw new BundleError('kernel-unsupported', `the bundle needs kernel features that are not usable here: ${missing.join(', ')}`);
}

function assertNewer(state: TrustedState, manifest: Manifest): void {
  const highest = state.highestGeneration;
  if (highest !== undefined && compareGenerations(manifest.generation, highest) < 0) {
    throw new BundleError('generation-not-newer', `generation ${formatGeneration(manifest.generation)} is older than ${formatGeneration(highest)}, which this node has accepted: going back needs a new, higher generation`);
  }
}

function freshTargets(state: TrustedState, nowMs: number): TargetsFile {
  if (state.timestamp === undefined || state.snapshot === undefined || state.targets === undefined) {
    throw new BundleError('metadata-missing', 'the image authority\'s list of programs has not been fetched');
  }
  assertNotExpired(state.timestamp.signed, nowMs, 'the timestamp metadata');
  assertNotExpired(state.snapshot.signed, nowMs, 'the snapshot metadata');
  assertNotExpired(state.targets.signed, nowMs, 'the targets metadata');
  if (state.snapshot.sha256 !== state.timestamp.signed.snapshot.sha256 || state.targets.sha256 !== state.snapshot.signed.targets.sha256) {
    throw new BundleError('mix-and-match', 'timestamp, snapshot and targets do not belong together');
  }
  return state.targets;
}

function assertPublished(manifest: Manifest, targets: TargetsFile): void {
  if (targets.signed.version < manifest.imageVersion) {
    throw new BundleError('mix-and-match', `the manifest was sealed against image targets ${manifest.imageVersion}, this node has ${targets.signed.version}`);
  }
  for (const program of manifest.programs) {
    if (!isPublished(program, manifest.arch, targets)) {
      throw new BundleError('program-not-published', `the image authority has not published program ${program.name} (${program.sha256}) for ${manifest.arch}`);
    }
  }
}

function isPublished(program: ManifestProgram, arch: Arch, targets: TargetsFile): boolean {
  const candidates = targets.signed.programs.get(program.sha256) ?? [];
  return candidates.some((published) => published.name === program.name && published.arch === arch && published.bytes === program.bytes);
}

/** Compares leading dotted numbers: `6.12.3-cloud` against `6.1`. Missing parts count as 0. */
function compareDotted(a: string, b: string): number {
  const parts = (text: string) => (/^\d+(\.\d+)*/.exec(text)?.[0] ?? '0').split('.').map(Number);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i += 1) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
