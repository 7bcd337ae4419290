import { createPublicKey, verify, type KeyObject } from 'node:crypto';
import { BundleError } from '../bundle-error.ts';
import { type JsonValue } from '../canonical/canonical-json.ts';
import { JsonReader } from '../canonical/json-reader.ts';
import { sha256Hex } from '../canonical/sha256.ts';
import { tufCanonicalJson } from '../canonical/tuf-canonical-json.ts';

/** A TUF key object (TUF 1.0.31 §4.2): Ed25519 as hex, ECDSA P-256 as SubjectPublicKeyInfo PEM. */
export type TufKey =
  | { readonly keytype: 'ed25519'; readonly scheme: 'ed25519'; readonly keyval: { readonly public: string } }
  | { readonly keytype: 'ecdsa'; readonly scheme: 'ecdsa-sha2-nistp256'; readonly keyval: { readonly public: string } };

/** A key that signatures are checked against. */
export interface VerificationKey {
  /** SHA-256 of the key object's canonical form, hex. Always computed, never believed. */
  readonly keyId: string;
  readonly key: TufKey;
  /** False for anything that is not a good signature of exactly these bytes. */
  verify(data: Uint8Array, signature: Uint8Array): boolean;
}

const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex'); // RFC 8410 §4

export function tufKeyId(key: TufKey): string {
  return sha256Hex(tufCanonicalJson(key as unknown as JsonValue));
}

/** @throws BundleError `unknown-key-type` for any key but Ed25519 and ECDSA P-256 */
export function tufKeyOf(publicKey: KeyObject): TufKey {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  if (publicKey.asymmetricKeyType === 'ed25519') {
    return { keytype: 'ed25519', scheme: 'ed25519', keyval: { public: spki.subarray(ED25519_SPKI_PREFIX.length).toString('hex') } };
  }
  if (publicKey.asymmetricKeyType === 'ec' && publicKey.asymmetricKeyDetails?.namedCurve === 'prime256v1') {
    return { keytype: 'ecdsa', scheme: 'ecdsa-sha2-nistp256', keyval: { public: spkiPem(spki) } };
  }
  throw new BundleError('unknown-key-type', 'only Ed25519 and ECDSA P-256 keys sign here');
}

/** Reads a key object strictly: exactly one textual form per key, so that one key cannot count twice under two ids. */
export function readTufKey(reader: JsonReader): TufKey {
  reader.object(['keytype', 'scheme', 'keyval']);
  reader.member('keyval').object(['public']);
  const keytype = reader.member('keytype').string();
  const scheme = reader.member('scheme').string();
  const publicValue = reader.member('keyval').member('public');
  if (keytype === 'ed25519' && scheme === 'ed25519') {
    return { keytype, scheme, keyval: { public: publicValue.string(/^[0-9a-f]{64}$/) } };
  }
  if (keytype === 'ecdsa' && scheme === 'ecdsa-sha2-nistp256') {
    const key: TufKey = { keytype, scheme, keyval: { public: publicValue.string() } };
    if (keyObjectOf(key).asymmetricKeyDetails?.namedCurve !== 'prime256v1') publicValue.fail('a P-256 key is needed here');
    if (tufKeyOf(keyObjectOf(key)).keyval.public !== key.keyval.public) publicValue.fail('the key is not in its one PEM form');
    return key;
  }
  throw new BundleError('unknown-key-type', `keys of type ${keytype}/${scheme} are not known`, reader.pointer);
}

export function verificationKey(key: TufKey): VerificationKey {
  const object = keyObjectOf(key);
  const algorithm = key.keytype === 'ed25519' ? null : 'sha256';
  return {
    keyId: tufKeyId(key),
    key,
    verify(data, signature) {
      try {
        return verify(algorithm, data, object, signature);
      } catch {
        return false; // OpenSSL throws on malformed DER signatures
      }
    },
  };
}

function keyObjectOf(key: TufKey): KeyObject {
  try {
    return key.keytype === 'ed25519'
      ? createPublicKey({ key: Buffer.concat([ED25519_SPKI_PREFIX, Buffer.from(key.keyval.public, 'hex')]), format: 'der', type: 'spki' })
      : createPublicKey(key.keyval.public);
  } catch {
    throw new BundleError('malformed', 'a public key cannot be read');
  }
}

function spkiPem(spki: Buffer): string {
  const lines = spki.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN PUBLIC KEY-----\n${lines.join('\n')}\n-----END PUBLIC KEY-----\n`;
}
