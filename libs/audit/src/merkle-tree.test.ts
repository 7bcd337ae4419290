import { describe, expect, it } from 'vitest';
import { consistencyProof, EMPTY_ROOT, GrowingTree, inclusionProof, leafHash, merkleRoot, verifyConsistency, verifyInclusion } from './merkle-tree.ts';

// Leaves and roots of the reference implementation of Certificate Transparency (merkle_tree_test.cc).
const data = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const leaves = data.map((hex) => leafHash(Buffer.from(hex, 'hex')));
const roots = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

describe('the tree', () => {
  it('has the roots of the reference implementation, and of the empty tree', () => {
    expect(leaves.map((_, i) => merkleRoot(leaves.slice(0, i + 1)).toString('hex'))).toEqual(roots);
    expect(EMPTY_ROOT.toString('hex')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });

  it('goes on from its complete subtrees as if it had never stopped', () => {
    for (let at = 0; at <= leaves.length; at++) {
      const first = new GrowingTree();
      for (const leaf of leaves.slice(0, at)) first.append(leaf);
      const second = new GrowingTree(first.size, first.subtrees);
      for (const leaf of leaves.slice(at)) second.append(leaf);
      expect(second.root().toString('hex')).toBe(roots.at(-1));
    }
    expect(() => new GrowingTree(3, [leaves[0]!])).toThrow(RangeError);
  });
});

const stranger = leafHash(Buffer.from('stranger'));
const many = Array.from({ length: 33 }, (_, i) => leafHash(Buffer.from([i])));

describe('an inclusion proof', () => {
  it('holds for every leaf of every size, and for no other leaf, place or root', () => {
    for (let size = 1; size <= many.length; size++) {
      const tree = many.slice(0, size);
      const root = merkleRoot(tree);
      for (let index = 0; index < size; index++) {
        const proof = inclusionProof(tree, index);
        expect(verifyInclusion(tree[index]!, index, size, proof, root)).toBe(true);
        expect(verifyInclusion(stranger, index, size, proof, root)).toBe(false);
        expect(verifyInclusion(tree[index]!, index, size, proof, stranger)).toBe(false);
        expect(verifyInclusion(tree[index]!, index, size, [...proof, root], root)).toBe(false);
        if (proof.length > 0) expect(verifyInclusion(tree[index]!, index, size, proof.slice(1), root)).toBe(false);
        if (size > 1) expect(verifyInclusion(tree[index]!, (index + 1) % size, size, proof, root)).toBe(false);
      }
    }
  });
});

describe('a consistency proof', () => {
  it('holds between every two sizes of one history and between no two histories', () => {
    for (let after = 1; after <= many.length; after++) {
      const now = { size: after, root: merkleRoot(many.slice(0, after)) };
      for (let before = 1; before <= after; before++) {
        const proof = consistencyProof(many.slice(0, after), before);
        const then = { size: before, root: merkleRoot(many.slice(0, before)) };
        expect(verifyConsistency(then, now, proof)).toBe(true);
        const forked = { size: before, root: merkleRoot([stranger, ...many.slice(1, before)]) };
        expect(verifyConsistency(forked, now, proof)).toBe(false);
        expect(verifyConsistency(then, { size: after, root: stranger }, proof)).toBe(false);
        if (proof.length > 0) expect(verifyConsistency(then, now, proof.slice(1))).toBe(false);
      }
    }
  });
});
