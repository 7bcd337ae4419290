import { BundleError } from '../bundle-error.ts';
import { BUNDLE_LIMITS } from '../limits.ts';
import type { VerificationKey } from './public-key.ts';

/** Who may sign, and how many distinct ones must (TUF 1.0.31 §4.3 `roles`). */
export interface Authority {
  readonly keys: ReadonlyMap<string, VerificationKey>;
  readonly threshold: number;
}

export interface Signature {
  readonly keyId: string;
  readonly signature: Uint8Array;
}

/**
 * Counts distinct key ids with a good signature. Signatures by unknown keys are ignored (they may be another role's);
 * a key id that appears twice is refused outright, so that no counting question arises.
 * @throws BundleError `duplicate-signature`, `below-threshold`, `too-large`
 */
export function assertThreshold(authority: Authority, data: Uint8Array, signatures: readonly Signature[], what: string): void {
  if (signatures.length > BUNDLE_LIMITS.signatures) {
    throw new BundleError('too-large', `${what} carries more than ${BUNDLE_LIMITS.signatures} signatures`);
  }
  const seen = new Set<string>();
  let good = 0;
  for (const { keyId, signature } of signatures) {
    if (seen.has(keyId)) throw new BundleError('duplicate-signature', `${what} carries two signatures of one key`);
    seen.add(keyId);
    if (authority.keys.get(keyId)?.verify(data, signature) === true) good += 1;
  }
  if (authority.threshold < 1 || good < authority.threshold) {
    throw new BundleError('below-threshold', `${what} has ${good} good signatures of its authority, ${authority.threshold} are needed`);
  }
}
