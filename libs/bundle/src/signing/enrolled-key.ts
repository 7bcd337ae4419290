import { createPublicKey, type KeyObject } from 'node:crypto';
import { tufKeyOf, verificationKey } from './public-key.ts';
import type { Authority } from './threshold.ts';

/** The key that a node enrolled with: a key object, or SubjectPublicKeyInfo as PEM or DER. */
export type EnrolledKey = KeyObject | string | Uint8Array;

/** The authority that a node alone is over what it says of itself. */
export function enrolledAuthority(key: EnrolledKey): Authority {
  const known = verificationKey(tufKeyOf(keyObject(key)));
  return { keys: new Map([[known.keyId, known]]), threshold: 1 };
}

function keyObject(key: EnrolledKey): KeyObject {
  if (typeof key === 'string') return createPublicKey(key);
  return key instanceof Uint8Array ? createPublicKey({ key: Buffer.from(key), format: 'der', type: 'spki' }) : key;
}
