import { createHash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const FORMAT = /^enr_([A-Za-z0-9]{12})\.([A-Za-z0-9_-]{43})$/;

export interface ParsedEnrollmentToken {
  readonly publicId: string;
  /** SHA-256 of the secret; at 256 bit of entropy no slow derivation is needed (trust-and-fleet §1). */
  readonly secretHash: Buffer;
}

/** A new token, `enr_<12-char public id>.<43 base64url chars>`; the text exists only in the answer that shows it. */
export function mintEnrollmentToken(): ParsedEnrollmentToken & { readonly text: string } {
  const publicId = Array.from({ length: 12 }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
  const secret = randomBytes(32).toString('base64url');
  return { publicId, secretHash: sha256(secret), text: `enr_${publicId}.${secret}` };
}

/** Null for anything that does not have the form of a token. */
export function parseEnrollmentToken(text: string): ParsedEnrollmentToken | null {
  const match = FORMAT.exec(text);
  return match === null ? null : { publicId: match[1]!, secretHash: sha256(match[2]!) };
}

/** Constant-time comparison of two secret hashes. */
export function sameSecret(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
