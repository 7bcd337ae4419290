import { formatTime, type JsonReader } from '../canonical/json-reader.ts';
import { sha256Hex } from '../canonical/sha256.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import type { Signer } from '../signing/signer.ts';
import { parseMetadata, readCommon, signMetadata, TUF_SPEC_VERSION, type CommonFields, type MetadataFile } from './metadata.ts';

/** What one metadata file says of another: version, length and hash are all required here (TUF makes two optional). */
export interface MetaEntry {
  readonly version: number;
  readonly length: number;
  readonly sha256: string;
}

export interface SnapshotMetadata extends CommonFields {
  readonly targets: MetaEntry;
}
export interface TimestampMetadata extends CommonFields {
  readonly snapshot: MetaEntry;
}
export type SnapshotFile = MetadataFile<SnapshotMetadata>;
export type TimestampFile = MetadataFile<TimestampMetadata>;

/** @throws BundleError */
export function parseSnapshot(bytes: Uint8Array): SnapshotFile {
  return parseMetadata(bytes, 'snapshot', BUNDLE_LIMITS.snapshotBytes, (signed) => ({
    ...readCommon(signed),
    targets: readMeta(signed.member('meta').member('targets.json')),
  }));
}

/** @throws BundleError */
export function parseTimestamp(bytes: Uint8Array): TimestampFile {
  return parseMetadata(bytes, 'timestamp', BUNDLE_LIMITS.timestampBytes, (signed) => ({
    ...readCommon(signed),
    snapshot: readMeta(signed.member('meta').member('snapshot.json')),
  }));
}

function readMeta(meta: JsonReader): MetaEntry {
  return {
    version: meta.member('version').integer({ min: 1, max: 0xffff_ffff }),
    length: meta.member('length').integer({ min: 1, max: BUNDLE_LIMITS.targetsBytes }),
    sha256: meta.member('hashes').member('sha256').sha256(),
  };
}

export interface SealedFile {
  readonly version: number;
  readonly bytes: Uint8Array;
}

/** Writes and signs the snapshot that names one version of the targets. */
export async function sealSnapshot(
  input: { readonly version: number; readonly expiresMs: number; readonly targets: SealedFile },
  signers: readonly Signer[],
): Promise<Uint8Array> {
  return signMetadata(signedFields('snapshot', input, 'targets.json', input.targets), signers);
}

/** Writes and signs the timestamp that names one version of the snapshot. */
export async function sealTimestamp(
  input: { readonly version: number; readonly expiresMs: number; readonly snapshot: SealedFile },
  signers: readonly Signer[],
): Promise<Uint8Array> {
  return signMetadata(signedFields('timestamp', input, 'snapshot.json', input.snapshot), signers);
}

function signedFields(type: string, input: CommonFields, name: string, file: SealedFile) {
  const entry = { version: file.version, length: file.bytes.byteLength, hashes: { sha256: sha256Hex(file.bytes) } };
  return { _type: type, spec_version: TUF_SPEC_VERSION, version: input.version, expires: formatTime(input.expiresMs), meta: { [name]: entry } };
}
