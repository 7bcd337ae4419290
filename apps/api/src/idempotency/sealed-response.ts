import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Encrypts a stored answer (AES-256-GCM) with a key that only the request itself holds: its bearer token and its
 * idempotency key. An answer may show a secret once; a copy of the table must not show it again.
 */
export function sealResponse(token: string, idempotencyKey: string, plain: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', keyOf(token, idempotencyKey), nonce);
  const body = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), body]);
}

/** Throws when the token or the key is another one, or the bytes were changed. */
export function openResponse(token: string, idempotencyKey: string, sealed: Buffer): string {
  const decipher = createDecipheriv('aes-256-gcm', keyOf(token, idempotencyKey), sealed.subarray(0, NONCE_BYTES));
  decipher.setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8');
}

function keyOf(token: string, idempotencyKey: string): Buffer {
  return Buffer.from(hkdfSync('sha256', token, idempotencyKey, 'palisade idempotent response', 32));
}
