import { formatTime, JsonReader } from '../canonical/json-reader.ts';
import type { JsonValue } from '../canonical/canonical-json.ts';
import type { Generation } from '../generation.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import { ARCHES, type Arch } from '../tuf/image-targets.ts';

export const MANIFEST_PAYLOAD_TYPE = 'application/vnd.palisade.manifest.v1+json';

/** A content-addressed blob: what it must hash to and how long it must be. */
export interface BlobReference {
  /** Lower-case hex. */
  readonly sha256: string;
  readonly bytes: number;
}

export interface ManifestProgram extends BlobReference {
  /** Name under which the image authority published it, for example `endpoint`. */
  readonly name: string;
  /** BPF program type, for example `sched_cls`. */
  readonly type: string;
  /** Where it is attached, for example `tcx/ingress`. */
  readonly attach: string;
}

/** Sizes in bytes and entries. */
export interface ManifestMap {
  readonly name: string;
  readonly type: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
}

/** A policy set in selector-level form; the blob is opaque to this room. */
export interface ManifestPolicy extends BlobReference {
  readonly revision: number;
}

export interface KernelRequirements {
  /** Oldest release, `major.minor`. */
  readonly min: string;
  readonly features: readonly string[];
  readonly btf: boolean;
}

/** What one architecture of one cluster gets. Signed by the director inside a DSSE envelope. */
export interface Manifest {
  readonly bundleId: string;
  readonly tenantId: string;
  readonly clusterId: string;
  readonly generation: Generation;
  readonly arch: Arch;
  readonly kernel: KernelRequirements;
  readonly programs: readonly ManifestProgram[];
  readonly maps: readonly ManifestMap[];
  readonly policy: ManifestPolicy;
  readonly shadowPolicy?: ManifestPolicy;
  /** The node waits for this identity revision before it loads the bundle. */
  readonly minimumIdentityRevision: number;
  /** Version of the image targets this was sealed against: older ones do not satisfy it. */
  readonly imageVersion: number;
  /** Oldest agent, `major.minor.patch`. */
  readonly minAgent: string;
  /** Unix milliseconds, whole seconds. Blocks new loads only; never unloads what runs. */
  readonly expiresMs: number;
  /** The generation whose content this one brings back. */
  readonly revertOf?: Generation;
  /** See `contentDigest`. */
  readonly contentDigest: string;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9_./:-]{0,127}$/;
const ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

export function encodeManifest(manifest: Manifest): JsonValue {
  return {
    bundle_id: manifest.bundleId,
    tenant: manifest.tenantId,
    cluster: manifest.clusterId,
    generation: encodeGeneration(manifest.generation),
    arch: manifest.arch,
    kernel: { min: manifest.kernel.min, features: manifest.kernel.features, btf: manifest.kernel.btf },
    programs: manifest.programs.map(encodeProgram),
    maps: manifest.maps.map(encodeMap),
    policy: encodePolicy(manifest.policy),
    ...(manifest.shadowPolicy && { shadow_policy: encodePolicy(manifest.shadowPolicy) }),
    minimum_identity_revision: String(manifest.minimumIdentityRevision),
    image_version: manifest.imageVersion,
    min_agent: manifest.minAgent,
    expires: formatTime(manifest.expiresMs),
    ...(manifest.revertOf && { revert_of: encodeGeneration(manifest.revertOf) }),
    content_digest: manifest.contentDigest,
  };
}

/**
 * The parser is the validator: a value of type Manifest only comes out of here or of `sealBundle`.
 * @throws BundleError `malformed` with the pointer of the first fault
 */
export function parseManifest(payload: JsonValue): Manifest {
  const reader = new JsonReader(payload);
  reader.object([
    'bundle_id', 'tenant', 'cluster', 'generation', 'arch', 'kernel', 'programs', 'maps', 'policy', 'shadow_policy',
    'minimum_identity_revision', 'image_version', 'min_agent', 'expires', 'revert_of', 'content_digest',
  ]);
  const shadow = reader.member('shadow_policy');
  const revertOf = reader.member('revert_of');
  return {
    bundleId: reader.member('bundle_id').string(ID),
    tenantId: reader.member('tenant').string(ID),
    clusterId: reader.member('cluster').string(ID),
    generation: readGeneration(reader.member('generation')),
    arch: reader.member('arch').oneOf(ARCHES),
    kernel: readKernel(reader.member('kernel')),
    programs: sortedByName(reader.member('programs').array(BUNDLE_LIMITS.programs), readProgram),
    maps: sortedByName(reader.member('maps').array(BUNDLE_LIMITS.maps), readMap),
    policy: readPolicy(reader.member('policy')),
    ...(!shadow.absent && { shadowPolicy: readPolicy(shadow) }),
    minimumIdentityRevision: reader.member('minimum_identity_revision').revision(),
    imageVersion: reader.member('image_version').integer({ min: 1, max: 0xffff_ffff }),
    minAgent: reader.member('min_agent').string(/^\d{1,5}\.\d{1,5}\.\d{1,5}$/),
    expiresMs: reader.member('expires').time(),
    ...(!revertOf.absent && { revertOf: readGeneration(revertOf) }),
    contentDigest: reader.member('content_digest').sha256(),
  };
}

export function encodeGeneration(generation: Generation): JsonValue {
  return { epoch: String(generation.epoch), n: String(generation.n) };
}

export function readGeneration(reader: JsonReader): Generation {
  reader.object(['epoch', 'n']);
  return { epoch: reader.member('epoch').u64(), n: reader.member('n').u64() };
}

export function encodeProgram(program: ManifestProgram): JsonValue {
  return { name: program.name, type: program.type, attach: program.attach, sha256: program.sha256, bytes: program.bytes };
}

export function encodeMap(map: ManifestMap): JsonValue {
  return { name: map.name, type: map.type, key_size: map.keySize, value_size: map.valueSize, max_entries: map.maxEntries };
}

function encodePolicy(policy: ManifestPolicy): JsonValue {
  return { revision: String(policy.revision), sha256: policy.sha256, bytes: policy.bytes };
}

function readKernel(reader: JsonReader): KernelRequirements {
  reader.object(['min', 'features', 'btf']);
  return {
    min: reader.member('min').string(/^\d{1,3}\.\d{1,3}$/),
    features: reader.member('features').array(64).map((feature) => feature.string(NAME)),
    btf: reader.member('btf').boolean(),
  };
}

function readProgram(reader: JsonReader): ManifestProgram {
  reader.object(['name', 'type', 'attach', 'sha256', 'bytes']);
  return {
    name: reader.member('name').string(NAME),
    type: reader.member('type').string(NAME),
    attach: reader.member('attach').string(NAME),
    sha256: reader.member('sha256').sha256(),
    bytes: reader.member('bytes').integer({ min: 1, max: BUNDLE_LIMITS.programBytes }),
  };
}

function readMap(reader: JsonReader): ManifestMap {
  reader.object(['name', 'type', 'key_size', 'value_size', 'max_entries']);
  const size = { min: 0, max: 0xffff_ffff };
  return {
    name: reader.member('name').string(NAME),
    type: reader.member('type').string(NAME),
    keySize: reader.member('key_size').integer(size),
    valueSize: reader.member('value_size').integer(size),
    maxEntries: reader.member('max_entries').integer(size),
  };
}

function readPolicy(reader: JsonReader): ManifestPolicy {
  reader.object(['revision', 'sha256', 'bytes']);
  return {
    revision: reader.member('revision').revision(),
    sha256: reader.member('sha256').sha256(),
    bytes: reader.member('bytes').integer({ min: 0, max: BUNDLE_LIMITS.policyBytes }),
  };
}

/** Order is part of the one form, and a name occurs once: two readers cannot pick different ones. */
function sortedByName<T extends { readonly name: string }>(items: readonly JsonReader[], read: (item: JsonReader) => T): readonly T[] {
  let previous: string | undefined;
  return items.map((item) => {
    const value = read(item);
    if (previous !== undefined && value.name <= previous) item.fail('names are sorted and occur once');
    previous = value.name;
    return value;
  });
}
