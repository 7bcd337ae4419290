import { createHash } from 'node:crypto';

/**
 * The nonce an agent asks Azure's metadata service for: it binds the attested document to this enrollment. 32 hex digits
 * (the service takes at most 32 characters) of SHA-256 over "palisade-attest-v1\n" and the enrollment id.
 */
export function attestationNonce(enrollmentUuid: string): string {
  return createHash('sha256').update(`palisade-attest-v1\n${enrollmentUuid.toLowerCase()}`).digest('hex').slice(0, 32);
}
