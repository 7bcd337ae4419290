import { createHash, randomBytes } from 'node:crypto';

const FORMAT = /^pal_([0-9a-z]{12})\.([A-Za-z0-9_-]{43})$/;

export interface TokenParts {
  readonly publicId: string;
  /** SHA-256 of the secret; at 256 bits of entropy no slow hash is needed. */
  readonly secretHash: Buffer;
}

/** A new token: its text `pal_<id>.<secret>` exists only here, what is stored is in the parts. */
export function mintToken(): TokenParts & { readonly text: string } {
  // 60 bits in base 32: enough that ids do not meet, short enough to read aloud.
  const publicId = Array.from(randomBytes(12), (byte) => '0123456789abcdefghjkmnpqrstvwxyz'[byte & 31]).join('');
  const secret = randomBytes(32).toString('base64url');
  return { publicId, secretHash: sha256(secret), text: `pal_${publicId}.${secret}` };
}

/** Undefined for anything that does not have the form of a token. */
export function parseToken(text: string): TokenParts | undefined {
  const match = FORMAT.exec(text);
  return match?.[1] === undefined || match[2] === undefined ? undefined : { publicId: match[1], secretHash: sha256(match[2]) };
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
