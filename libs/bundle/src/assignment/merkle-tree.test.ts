import { describe, expect, it } from 'vitest';
import { merkleRootFromPath, merkleTree } from './merkle-tree.ts';

const leaves = (count: number) => Array.from({ length: count }, (_, index) => Buffer.from(`leaf ${index}`));

describe('the Merkle tree of a wave', () => {
  it('has the root of RFC 9162 for known leaves', () => {
    // Certificate Transparency's reference vectors: the empty tree and the tree of one empty leaf.
    expect(Buffer.from(merkleTree([]).root).toString('hex')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(Buffer.from(merkleTree([new Uint8Array()]).root).toString('hex')).toBe('6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
    const vectors = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'].map((hex) => Buffer.from(hex, 'hex'));
    expect(Buffer.from(merkleTree(vectors).root).toString('hex')).toBe('5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328');
  });

  it('proves every leaf of every size, and none in another place', () => {
    for (let size = 1; size <= 33; size += 1) {
      const data = leaves(size);
      const { root, paths } = merkleTree(data);
      data.forEach((leaf, index) => {
        const path = paths[index] ?? [];
        expect(merkleRootFromPath(leaf, index, size, path)).toEqual(root);
        expect(merkleRootFromPath(Buffer.from('other'), index, size, path)).not.toEqual(root);
        if (size > 1) expect(merkleRootFromPath(leaf, (index + 1) % size, size, path)).not.toEqual(root);
        expect(merkleRootFromPath(leaf, index, size, [...path, root])).toBeUndefined();
      });
    }
  });

  it('refuses indices outside the tree', () => {
    expect(merkleRootFromPath(Buffer.from('x'), 1, 1, [])).toBeUndefined();
    expect(merkleRootFromPath(Buffer.from('x'), -1, 1, [])).toBeUndefined();
  });
});
