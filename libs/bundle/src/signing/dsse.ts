import { BundleError } from '../bundle-error.ts';
import { canonicalJson, type JsonValue } from '../canonical/canonical-json.ts';
import { JsonReader, parseJson } from '../canonical/json-reader.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import type { Signer } from './signer.ts';
import { assertThreshold, type Authority, type Signature } from './threshold.ts';

/** A DSSE envelope (secure-systems-lab/dsse, protocol v1.0.2). */
export interface Envelope {
  readonly payloadType: string;
  readonly payload: Uint8Array;
  readonly signatures: readonly Signature[];
}

/** DSSE pre-authentication encoding: what is signed, payload type included. */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = Buffer.from(payloadType, 'utf8');
  return Buffer.concat([Buffer.from(`DSSEv1 ${type.length} `), type, Buffer.from(` ${payload.byteLength} `), payload]);
}

/** Signs a payload with every signer. @returns the envelope as canonical JSON bytes */
export async function signEnvelope(payloadType: string, payload: Uint8Array, signers: readonly Signer[]): Promise<Uint8Array> {
  const data = preAuthenticationEncoding(payloadType, payload);
  const signatures = await Promise.all(
    signers.map(async (signer) => ({ keyid: signer.keyId, sig: Buffer.from(await signer.sign(data)).toString('base64') })),
  );
  return canonicalJson({ payload: Buffer.from(payload).toString('base64'), payloadType, signatures });
}

/** @throws BundleError `too-large`, `malformed` */
export function parseEnvelope(bytes: Uint8Array, maxBytes: number, what = 'the envelope'): Envelope {
  const reader = new JsonReader(parseJson(bytes, maxBytes, what));
  reader.object(['payload', 'payloadType', 'signatures']);
  return {
    payloadType: reader.member('payloadType').string(/^[\x21-\x7e]{1,255}$/),
    payload: base64(reader.member('payload'), maxBytes),
    signatures: reader.member('signatures').array(BUNDLE_LIMITS.signatures).map((item) => {
      item.object(['keyid', 'sig']);
      return { keyId: item.member('keyid').sha256(), signature: base64(item.member('sig'), 1024) };
    }),
  };
}

/**
 * Parses an envelope, checks its payload type and its authority's signatures, and only then reads the payload,
 * which must be canonical JSON (RFC 8785): one document has one byte form.
 * @throws BundleError with any code of form and signatures
 */
export function openEnvelope(
  bytes: Uint8Array,
  options: { readonly payloadType: string; readonly authority: Authority; readonly maxBytes: number; readonly what: string },
): { readonly payload: JsonValue; readonly payloadBytes: Uint8Array } {
  const envelope = parseEnvelope(bytes, options.maxBytes, options.what);
  if (envelope.payloadType !== options.payloadType) {
    throw new BundleError('wrong-type', `${options.what} says it is ${envelope.payloadType}, ${options.payloadType} is needed`);
  }
  assertThreshold(options.authority, preAuthenticationEncoding(envelope.payloadType, envelope.payload), envelope.signatures, options.what);
  const payload = parseJson(envelope.payload, options.maxBytes, options.what);
  if (!Buffer.from(canonicalJson(payload)).equals(envelope.payload)) {
    throw new BundleError('not-canonical', `the payload of ${options.what} is not canonical JSON (RFC 8785)`);
  }
  return { payload, payloadBytes: envelope.payload };
}

function base64(reader: JsonReader, maxLength: number): Uint8Array {
  const text = reader.string(undefined, maxLength * 2);
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) reader.fail('padded standard base64 is needed here (RFC 4648 §4)');
  return bytes;
}
