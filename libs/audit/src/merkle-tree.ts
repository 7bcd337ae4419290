import { createHash } from 'node:crypto';

/**
 * Merkle tree hashing of RFC 6962 §2.1 (SHA-256). Leaf and node hashes have different prefixes, so that a node can never
 * pass as a leaf.
 */

export function leafHash(data: Uint8Array): Buffer {
  return createHash('sha256').update(Uint8Array.of(0)).update(data).digest();
}

function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return createHash('sha256').update(Uint8Array.of(1)).update(left).update(right).digest();
}

/** Root of the empty tree. */
export const EMPTY_ROOT = createHash('sha256').digest();

/**
 * A tree that grows by one leaf at a time and keeps only the roots of its complete subtrees (one for each bit of its
 * size): constant memory for any length.
 */
export class GrowingTree {
  #size: number;
  /** Largest subtree first. */
  readonly #subtrees: Buffer[];

  constructor(size = 0, subtrees: readonly Uint8Array[] = []) {
    if (subtrees.length !== bitsSet(size)) throw new RangeError(`A tree of ${size} leaves has ${bitsSet(size)} complete subtrees, not ${subtrees.length}.`);
    this.#size = size;
    this.#subtrees = subtrees.map((hash) => Buffer.from(hash));
  }

  get size(): number {
    return this.#size;
  }

  /** With `size` all that is needed to go on from here. */
  get subtrees(): readonly Buffer[] {
    return this.#subtrees;
  }

  append(leaf: Uint8Array): void {
    let hash: Buffer = Buffer.from(leaf);
    for (let rest = this.#size; rest % 2 === 1; rest = Math.floor(rest / 2)) hash = nodeHash(this.#subtrees.pop() as Buffer, hash);
    this.#subtrees.push(hash);
    this.#size += 1;
  }

  root(): Buffer {
    const [last, ...larger] = this.#subtrees.toReversed();
    return last === undefined ? EMPTY_ROOT : larger.reduce((right, left) => nodeHash(left, right), last);
  }
}

/** Root over leaf hashes. */
export function merkleRoot(leaves: readonly Uint8Array[]): Buffer {
  const tree = new GrowingTree();
  for (const leaf of leaves) tree.append(leaf);
  return tree.root();
}

/** Audit path of the leaf at `index` (RFC 6962 §2.1.1), nearest sibling first. */
export function inclusionProof(leaves: readonly Uint8Array[], index: number): Buffer[] {
  if (index < 0 || index >= leaves.length) throw new RangeError(`There is no leaf ${index} in a tree of ${leaves.length}.`);
  if (leaves.length === 1) return [];
  const split = largestPowerBelow(leaves.length);
  return index < split
    ? [...inclusionProof(leaves.slice(0, split), index), merkleRoot(leaves.slice(split))]
    : [...inclusionProof(leaves.slice(split), index - split), merkleRoot(leaves.slice(0, split))];
}

/** RFC 9162 §2.1.3.2. */
export function verifyInclusion(leaf: Uint8Array, index: number, size: number, proof: readonly Uint8Array[], root: Uint8Array): boolean {
  if (index < 0 || index >= size) return false;
  let node = index;
  let last = size - 1;
  let hash: Buffer = Buffer.from(leaf);
  for (const sibling of proof) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      hash = nodeHash(sibling, hash);
      while (node % 2 === 0 && node !== 0) [node, last] = [node / 2, Math.floor(last / 2)];
    } else {
      hash = nodeHash(hash, sibling);
    }
    [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  }
  return last === 0 && hash.equals(root);
}

/** That the tree of the first `before` leaves is a prefix of the tree of all (RFC 6962 §2.1.2). */
export function consistencyProof(leaves: readonly Uint8Array[], before: number): Buffer[] {
  if (before <= 0 || before > leaves.length) throw new RangeError(`A tree of ${leaves.length} leaves has no earlier state of ${before}.`);
  return subproof(leaves, before, true);
}

function subproof(leaves: readonly Uint8Array[], before: number, whole: boolean): Buffer[] {
  if (before === leaves.length) return whole ? [] : [merkleRoot(leaves)];
  const split = largestPowerBelow(leaves.length);
  return before <= split
    ? [...subproof(leaves.slice(0, split), before, whole), merkleRoot(leaves.slice(split))]
    : [...subproof(leaves.slice(split), before - split, false), merkleRoot(leaves.slice(0, split))];
}

/** RFC 9162 §2.1.4.2. */
export function verifyConsistency(
  before: { readonly size: number; readonly root: Uint8Array },
  after: { readonly size: number; readonly root: Uint8Array },
  proof: readonly Uint8Array[],
): boolean {
  if (before.size <= 0 || before.size > after.size) return false;
  if (before.size === after.size) return proof.length === 0 && Buffer.from(before.root).equals(after.root);
  const path = isPowerOfTwo(before.size) ? [before.root, ...proof] : [...proof];
  const [first, ...rest] = path;
  if (first === undefined) return false;
  let node = before.size - 1;
  let last = after.size - 1;
  while (node % 2 === 1) [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  let old: Buffer = Buffer.from(first);
  let now: Buffer = Buffer.from(first);
  for (const sibling of rest) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      old = nodeHash(sibling, old);
      now = nodeHash(sibling, now);
      while (node % 2 === 0 && node !== 0) [node, last] = [node / 2, Math.floor(last / 2)];
    } else {
      now = nodeHash(now, sibling);
    }
    [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  }
  return last === 0 && old.equals(before.root) && now.equals(after.root);
}

/** The largest power of two that is smaller than n, n > 1. */
function largestPowerBelow(n: number): number {
  let power = 1;
  while (power * 2 < n) power *= 2;
  return power;
}

function isPowerOfTwo(n: number): boolean {
  return bitsSet(n) === 1;
}

function bitsSet(n: number): number {
  let count = 0;
  for (let rest = n; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}
