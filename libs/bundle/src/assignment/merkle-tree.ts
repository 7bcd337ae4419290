import { createHash } from 'node:crypto';

/**
 * Merkle tree hash over leaves, RFC 9162 §2.1.1: leaf = SHA-256(0x00 ‖ data), node = SHA-256(0x01 ‖ left ‖ right).
 * @returns the root, and for each leaf its audit path from the bottom up
 */
export function merkleTree(leaves: readonly Uint8Array[]): { readonly root: Uint8Array; readonly paths: readonly (readonly Uint8Array[])[] } {
  const paths: Uint8Array[][] = leaves.map(() => []);
  return { root: subtree(leaves.map(leafHash), 0, leaves.length, paths), paths };
}

/** Root of the tree of `size` leaves in which leaf `index` is `data`, by its audit path; undefined for an impossible path (RFC 9162 §2.1.3.2). */
export function merkleRootFromPath(data: Uint8Array, index: number, size: number, path: readonly Uint8Array[]): Uint8Array | undefined {
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) return undefined;
  let fn = index;
  let sn = size - 1;
  let hash = leafHash(data);
  for (const sibling of path) {
    if (sn === 0 || sibling.byteLength !== 32) return undefined;
    if (fn % 2 === 1 || fn === sn) {
      hash = nodeHash(sibling, hash);
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2);
        sn = Math.floor(sn / 2);
      }
    } else {
      hash = nodeHash(hash, sibling);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  return sn === 0 ? hash : undefined;
}

function subtree(hashes: readonly Uint8Array[], from: number, to: number, paths: Uint8Array[][]): Uint8Array {
  const count = to - from;
  if (count === 0) return createHash('sha256').digest();
  if (count === 1) return hashes[from] as Uint8Array;
  const split = from + 2 ** Math.floor(Math.log2(count - 1));
  const left = subtree(hashes, from, split, paths);
  const right = subtree(hashes, split, to, paths);
  for (let i = from; i < split; i += 1) paths[i]?.push(right);
  for (let i = split; i < to; i += 1) paths[i]?.push(left);
  return nodeHash(left, right);
}

function leafHash(data: Uint8Array): Uint8Array {
  return createHash('sha256').update(Uint8Array.of(0)).update(data).digest();
}

function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return createHash('sha256').update(Uint8Array.of(1)).update(left).update(right).digest();
}
