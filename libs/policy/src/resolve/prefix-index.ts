/** Prefixes that policies mention, and for an address the deepest of them: addresses with the same one are covered alike. */

import { formatPrefix, networkOf, prefixContains, type IpAddress, type IpFamily, type IpPrefix } from '../ip-address.ts';
import type { PeerAtom } from './peer-atom.ts';

export interface PrefixNode {
  readonly prefix: IpPrefix;
  /** Canonical text. */
  readonly text: string;
  uses: number;
  /** Atoms that name it as a network they match; a service may name the same address twice. */
  readonly networks: Map<PeerAtom, number>;
  /** Atoms that cover the node's addresses; undefined: to be computed. */
  covering?: readonly PeerAtom[] | undefined;
}

/** The prefixes of one kind of atom, with the two roots always present. */
export class PrefixIndex {
  private readonly nodes = new Map<string, PrefixNode>();
  /** Number of nodes by family and length. */
  private readonly lengths: Readonly<Record<IpFamily, Map<number, number>>> = { 4: new Map(), 6: new Map() };
  private readonly descending: Record<IpFamily, number[]> = { 4: [], 6: [] };

  constructor() {
    this.use({ family: 4, words: [0], length: 0 });
    this.use({ family: 6, words: [0, 0, 0, 0], length: 0 });
  }

  /** Enters the networks and holes of an atom. Returns the prefixes that are new. */
  add(atom: PeerAtom): IpPrefix[] {
    const fresh: IpPrefix[] = [];
    for (const prefix of [...atom.networks, ...atom.holes]) if (this.use(prefix)) fresh.push(prefix);
    for (const prefix of atom.networks) {
      const { networks } = this.node(prefix);
      networks.set(atom, (networks.get(atom) ?? 0) + 1);
    }
    this.forgetCovering();
    return fresh;
  }

  /** Takes an atom out. Returns the prefixes that are gone. */
  remove(atom: PeerAtom): IpPrefix[] {
    const gone: IpPrefix[] = [];
    for (const prefix of atom.networks) this.node(prefix).networks.delete(atom);
    for (const prefix of [...atom.networks, ...atom.holes]) {
      const node = this.node(prefix);
      if (--node.uses > 0) continue;
      this.nodes.delete(keyOf(prefix));
      this.count(prefix, -1);
      gone.push(prefix);
    }
    this.forgetCovering();
    return gone;
  }

  /** The longest prefix that holds the address (at least the root of its family). */
  deepest(address: IpAddress): PrefixNode {
    for (const length of this.descending[address.family]) {
      const node = this.nodes.get(keyOf(networkOf(address, length)));
      if (node !== undefined) return node;
    }
    throw new RangeError('The index has lost the root of an address family.');
  }

  /** The longest proper ancestor. */
  parent({ prefix }: PrefixNode): PrefixNode | undefined {
    for (const length of this.descending[prefix.family]) {
      const node = length < prefix.length ? this.nodes.get(keyOf(networkOf(prefix, length))) : undefined;
      if (node !== undefined) return node;
    }
    return undefined;
  }

  /** Atoms of which a network holds the node's addresses and no exception does (an address no deeper prefix holds). */
  covering(node: PrefixNode): readonly PeerAtom[] {
    if (node.covering !== undefined) return node.covering;
    const chain: PrefixNode[] = [];
    for (let at: PrefixNode | undefined = node; at !== undefined; at = this.parent(at)) chain.push(at);
    const found = new Set<PeerAtom>();
    for (const { networks } of chain) {
      for (const atom of networks.keys()) {
        if (!atom.holes.some((hole) => hole.length <= node.prefix.length && prefixContains(hole, node.prefix))) found.add(atom);
      }
    }
    node.covering = [...found];
    return node.covering;
  }

  all(): Iterable<PrefixNode> {
    return this.nodes.values();
  }

  private forgetCovering(): void {
    for (const node of this.nodes.values()) node.covering = undefined;
  }

  /** The node of exactly this prefix, which must be in use. */
  node(prefix: IpPrefix): PrefixNode {
    const node = this.nodes.get(keyOf(prefix));
    if (node === undefined) throw new RangeError(`${formatPrefix(prefix)} is not in the index.`);
    return node;
  }

  private use(prefix: IpPrefix): boolean {
    const key = keyOf(prefix);
    const known = this.nodes.get(key);
    if (known !== undefined) {
      known.uses++;
      return false;
    }
    this.nodes.set(key, { prefix, text: formatPrefix(prefix), uses: 1, networks: new Map() });
    this.count(prefix, 1);
    return true;
  }

  private count({ family, length }: IpPrefix, step: number): void {
    const counts = this.lengths[family];
    const count = (counts.get(length) ?? 0) + step;
    if (count > 0) counts.set(length, count);
    else counts.delete(length);
    this.descending[family] = [...counts.keys()].sort((a, b) => b - a);
  }
}

function keyOf({ words, length }: IpPrefix): string {
  return `${words.join('.')}/${length}`;
}
