import { createPublicKey, sign, type KeyObject } from 'node:crypto';
import { tufKeyId, tufKeyOf, type TufKey } from './public-key.ts';

/**
 * Holder of one private key: a file, a key management service, a hardware token. Adapters are in the `keys` room.
 * ECDSA signatures are ASN.1 DER over SHA-256 of the bytes; Ed25519 signs the bytes themselves.
 */
export interface Signer {
  /** {@link tufKeyId} of `key`. */
  readonly keyId: string;
  readonly key: TufKey;
  /** @throws when the key cannot be used now; nothing is signed then */
  sign(data: Uint8Array): Promise<Uint8Array>;
}

/** Signs with a private key that this process holds. @throws BundleError `unknown-key-type` */
export function localSigner(privateKey: KeyObject): Signer {
  const key = tufKeyOf(createPublicKey(privateKey));
  const algorithm = key.keytype === 'ed25519' ? null : 'sha256';
  return { keyId: tufKeyId(key), key, sign: async (data) => sign(algorithm, data, privateKey) };
}
