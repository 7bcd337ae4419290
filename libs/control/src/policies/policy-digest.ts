import { createHash } from 'node:crypto';
import { canonicalJson, type Json } from '@palisade/audit';
import type { PolicyDocument, PolicySet } from '@palisade/policy';

/** SHA-256 (hex) of a policy's meaning: its revision is left out, so applying the same again changes nothing. */
export function policyDigest(document: PolicyDocument): string {
  return sha256({ ...document, revision: 0 });
}

/** SHA-256 (hex) of the canonical policy set, revisions included: what a bundle of this revision carries. */
export function policySetDigest(set: PolicySet): string {
  return sha256(set);
}

function sha256(value: PolicyDocument | PolicySet): string {
  return createHash('sha256')
    .update(canonicalJson(value as unknown as Json))
    .digest('hex');
}
