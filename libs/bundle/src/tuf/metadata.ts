import { BundleError } from '../bundle-error.ts';
import type { JsonValue } from '../canonical/canonical-json.ts';
import { JsonReader, parseJson } from '../canonical/json-reader.ts';
import { sha256Hex } from '../canonical/sha256.ts';
import { tufCanonicalJson } from '../canonical/tuf-canonical-json.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import type { Signer } from '../signing/signer.ts';
import { assertThreshold, type Authority, type Signature } from '../signing/threshold.ts';

/** Version of the TUF specification that the metadata is written to; readers accept any 1.x (TUF 4.3). */
export const TUF_SPEC_VERSION = '1.0.31';

/** A metadata file: what was signed, by whom, and the exact bytes it came in. */
export interface MetadataFile<T> {
  readonly signed: T;
  readonly signatures: readonly Signature[];
  /** Canonical bytes of `signed`: what the signatures are over. */
  readonly signedBytes: Uint8Array;
  readonly bytes: Uint8Array;
  /** Of `bytes`, hex. */
  readonly sha256: string;
}

export interface CommonFields {
  readonly version: number;
  /** Unix milliseconds. */
  readonly expiresMs: number;
}

export type TufType = 'root' | 'timestamp' | 'snapshot' | 'targets';

/**
 * Parses a metadata file of one type. Unknown members of `signed` are kept in the signed bytes and ignored (TUF 4.3).
 * @throws BundleError `too-large`, `malformed`, `wrong-type`, `unsupported-version`
 */
export function parseMetadata<T>(bytes: Uint8Array, type: TufType, maxBytes: number, readSigned: (signed: JsonReader) => T): MetadataFile<T> {
  const what = `the ${type} metadata`;
  const reader = new JsonReader(parseJson(bytes, maxBytes, what));
  reader.object(['signed', 'signatures']);
  const signed = reader.member('signed');
  const actual = signed.member('_type').string();
  if (actual !== type) throw new BundleError('wrong-type', `the metadata says it is ${actual.slice(0, 32)}, ${type} is needed`);
  const spec = signed.member('spec_version').string(/^\d+\.\d+\.\d+$/, 32);
  if (!spec.startsWith('1.')) throw new BundleError('unsupported-version', `${what} follows TUF ${spec}, only 1.x is understood`);
  return {
    signed: readSigned(signed),
    signatures: reader.member('signatures').array(BUNDLE_LIMITS.signatures).map(readSignature),
    signedBytes: tufCanonicalJson(signed.value as JsonValue),
    bytes,
    sha256: sha256Hex(bytes),
  };
}

function readSignature(item: JsonReader): Signature {
  item.object(['keyid', 'sig'], true);
  return { keyId: item.member('keyid').sha256(), signature: Buffer.from(item.member('sig').string(/^([0-9a-f]{2})+$/), 'hex') };
}

export function readCommon(signed: JsonReader): CommonFields {
  return {
    version: signed.member('version').integer({ min: 1, max: 0xffff_ffff }),
    expiresMs: signed.member('expires').time(),
  };
}

/** Signs `signed` and writes the metadata file: pretty-free JSON, signatures in the signers' order. */
export async function signMetadata(signed: { readonly [key: string]: JsonValue | undefined }, signers: readonly Signer[]): Promise<Uint8Array> {
  const data = tufCanonicalJson(signed);
  const signatures = await Promise.all(
    signers.map(async (signer) => ({ keyid: signer.keyId, sig: Buffer.from(await signer.sign(data)).toString('hex') })),
  );
  return Buffer.from(JSON.stringify({ signatures, signed }), 'utf8');
}

/**
 * Adds a signature to a metadata file, for ceremonies in which the holders of several keys sign one after another.
 * A signature of the same key is replaced. The content is not judged here.
 * @throws BundleError `malformed`, `too-large`
 */
export async function signMore(bytes: Uint8Array, signer: Signer): Promise<Uint8Array> {
  const reader = new JsonReader(parseJson(bytes, BUNDLE_LIMITS.targetsBytes, 'the metadata'));
  reader.object(['signed', 'signatures']);
  const signed = reader.member('signed').record();
  const others = reader.member('signatures').array(BUNDLE_LIMITS.signatures).filter((item) => item.member('keyid').value !== signer.keyId);
  const own = { keyid: signer.keyId, sig: Buffer.from(await signer.sign(tufCanonicalJson(signed))).toString('hex') };
  return Buffer.from(JSON.stringify({ signatures: [...others.map((item) => item.value), own], signed }), 'utf8');
}

/** @throws BundleError `below-threshold`, `duplicate-signature` */
export function assertSignedBy(file: MetadataFile<unknown>, authority: Authority, what: string): void {
  assertThreshold(authority, file.signedBytes, file.signatures, what);
}

/** @throws BundleError `expired` */
export function assertNotExpired(fields: CommonFields, nowMs: number, what: string): void {
  if (fields.expiresMs <= nowMs) {
    throw new BundleError('expired', `${what} (version ${fields.version}) expired at ${new Date(fields.expiresMs).toISOString()}`);
  }
}
