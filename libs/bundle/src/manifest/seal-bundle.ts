import { canonicalJson } from '../canonical/canonical-json.ts';
import { sha256Hex } from '../canonical/sha256.ts';
import { signEnvelope } from '../signing/dsse.ts';
import type { Signer } from '../signing/signer.ts';
import { contentDigest, sortByName } from './content-digest.ts';
import { encodeManifest, MANIFEST_PAYLOAD_TYPE, parseManifest, type Manifest, type ManifestProgram } from './manifest.ts';

export interface ProgramInput extends Pick<ManifestProgram, 'name' | 'type' | 'attach'> {
  /** The object file, as the image authority published it. */
  readonly object: Uint8Array;
}

export interface PolicyInput {
  readonly revision: number;
  /** Canonical bytes of the policy set; opaque here. */
  readonly content: Uint8Array;
}

/** Everything of a manifest that is not computed from the content. */
export interface BundleInput extends Omit<Manifest, 'programs' | 'policy' | 'shadowPolicy' | 'contentDigest'> {
  readonly programs: readonly ProgramInput[];
  readonly policy: PolicyInput;
  readonly shadowPolicy?: PolicyInput;
}

export interface SealedBundle {
  readonly manifest: Manifest;
  /** DSSE envelope, JSON: what `GET /agent/v1/manifests/{sha256}` serves. */
  readonly envelope: Uint8Array;
  /** Of `envelope`, hex. */
  readonly manifestSha256: string;
  readonly contentDigest: string;
  /** SHA-256 → bytes, of all programs and policies that the manifest names. */
  readonly blobs: ReadonlyMap<string, Uint8Array>;
}

/**
 * Seals content into a manifest signed by the director. The same content gives the same content digest.
 * @throws BundleError `malformed` when the input would not parse back: nothing is signed then
 */
export async function sealBundle(input: BundleInput, director: readonly Signer[]): Promise<SealedBundle> {
  const blobs = new Map<string, Uint8Array>();
  const reference = (content: Uint8Array) => {
    const sha256 = sha256Hex(content);
    blobs.set(sha256, content);
    return { sha256, bytes: content.byteLength };
  };
  const programs = sortByName(
    input.programs.map(({ name, type, attach, object }) => ({ name, type, attach, ...reference(object) })),
  );
  const maps = sortByName(input.maps);
  const policy = { revision: input.policy.revision, ...reference(input.policy.content) };
  const shadowPolicy = input.shadowPolicy && { revision: input.shadowPolicy.revision, ...reference(input.shadowPolicy.content) };
  const digest = contentDigest(programs, { live: policy, ...(shadowPolicy && { shadow: shadowPolicy }) }, maps);
  const { shadowPolicy: _input, ...rest } = input;
  const encoded = encodeManifest({ ...rest, programs, maps, policy, ...(shadowPolicy && { shadowPolicy }), contentDigest: digest });
  const manifest = parseManifest(JSON.parse(JSON.stringify(encoded)));
  const envelope = await signEnvelope(MANIFEST_PAYLOAD_TYPE, canonicalJson(encoded), director);
  return { manifest, envelope, manifestSha256: sha256Hex(envelope), contentDigest: digest, blobs };
}
