import { canonicalJson } from '../canonical/canonical-json.ts';
import { sha256Hex } from '../canonical/sha256.ts';
import { encodeMap, encodeProgram, type BlobReference, type ManifestMap, type ManifestProgram } from './manifest.ts';

export interface PolicyContent {
  readonly live: BlobReference;
  readonly shadow?: BlobReference;
}

/**
 * The digest a node reports as running: SHA-256 over the canonical form of programs, policy and map specifications,
 * each list sorted by name. Generation, revision numbers and expiry are outside it, so that the same content keeps its
 * digest when it is shipped again.
 */
export function contentDigest(programs: readonly ManifestProgram[], policy: PolicyContent, maps: readonly ManifestMap[]): string {
  const reference = (blob: BlobReference) => ({ sha256: blob.sha256, bytes: blob.bytes });
  return sha256Hex(
    canonicalJson({
      programs: sortByName(programs).map(encodeProgram),
      policy: { live: reference(policy.live), ...(policy.shadow && { shadow: reference(policy.shadow) }) },
      maps: sortByName(maps).map(encodeMap),
    }),
  );
}

/** Ascending by UTF-16 code units, the order that `parseManifest` demands. */
export function sortByName<T extends { readonly name: string }>(items: readonly T[]): readonly T[] {
  return [...items].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
