/** Policy classes: peers that every rule of the resolved node's endpoints treats alike share one number in the kernel's maps. */

import type { PolicyEntry } from '../resolution.ts';
import { ContentHash, SetDigest, type Lanes } from './content-digest.ts';
import type { PeerAtom } from './peer-atom.ts';
import { namesKey, type PortName } from './port-names.ts';
import type { RowKind } from './row-kind.ts';

export interface PeerClass {
  /** Number in the maps, ≥ 1, derived from the content so that one change does not renumber the others. */
  number: number;
  /** Equal signature, equal class; only for comparing within one resolver. */
  readonly signature: string;
  /** Every atom that matches, ascending by index. */
  readonly atoms: readonly PeerAtom[];
  /** Ports the peer names, as far as egress rules that match it ask for them. */
  readonly names: readonly PortName[];
  readonly ownNode: boolean;
  readonly digest: Lanes;
  /** Entries made for it, shared by the rule sets that give it the same ones. */
  readonly rows: Map<RowKind, MadeRow>;
  /** Dense slot for tables; reused after the class is gone. */
  readonly slot: number;
  uses: number;
}

export interface MadeRow {
  readonly entries: readonly PolicyEntry[];
  readonly digest: Lanes;
}

export interface ClassContent {
  readonly atoms: readonly PeerAtom[];
  readonly names: readonly PortName[];
  readonly ownNode: boolean;
}

/** Interns classes and gives them numbers that depend on the set of classes alone, not on its history. */
export class ClassTable {
  private readonly bySignature = new Map<string, PeerClass>();
  /** Classes that want one number. */
  private readonly wanting = new Map<number, PeerClass[]>();
  private readonly freeSlots: number[] = [];
  private slots = 0;
  private readonly contested = new Set<number>();
  /** Classes that sit on another number than they want. */
  private readonly moved = new Set<PeerClass>();

  use(content: ClassContent): PeerClass {
    const signature = signatureOf(content);
    const known = this.bySignature.get(signature);
    if (known !== undefined) {
      known.uses++;
      return known;
    }
    const digest = digestOf(content);
    const created: PeerClass = { ...content, signature, digest, number: wantedNumber(digest), rows: new Map(), slot: this.freeSlots.pop() ?? this.slots++, uses: 1 };
    this.bySignature.set(signature, created);
    this.enter(created);
    return created;
  }

  /** True when nobody uses the class any more and it is gone. */
  release(released: PeerClass): boolean {
    if (--released.uses > 0) return false;
    this.bySignature.delete(released.signature);
    this.leave(released);
    this.freeSlots.push(released.slot);
    return true;
  }

  get(signature: string): PeerClass | undefined {
    return this.bySignature.get(signature);
  }

  values(): Iterable<PeerClass> {
    return this.bySignature.values();
  }

  /** Every slot is below it. */
  get slotCount(): number {
    return this.slots;
  }

  /**
   * Settles numbers that several classes want (one in 2^32 per pair): the first in order of digests keeps it, the others
   * take the next number that nobody wants. Returns the classes whose number changed. Costs nothing without collisions.
   */
  renumber(): PeerClass[] {
    if (this.contested.size === 0 && this.moved.size === 0) return [];
    const extras: PeerClass[] = [];
    const wanted = new Map<PeerClass, number>();
    for (const moved of this.moved) wanted.set(moved, wantedNumber(moved.digest));
    for (const number of this.contested) {
      const group = this.wanting.get(number) ?? [];
      if (group.length < 2) this.contested.delete(number);
      const [first, ...rest] = group.toSorted((a, b) => compareLanes(a.digest, b.digest));
      if (first !== undefined) wanted.set(first, number);
      extras.push(...rest);
    }
    this.moved.clear();
    const taken = new Set(this.wanting.keys());
    for (const extra of extras.sort((a, b) => compareLanes(a.digest, b.digest))) {
      let number = wantedNumber(extra.digest);
      while (number === 0 || taken.has(number)) number = (number + 1) >>> 0;
      taken.add(number);
      wanted.set(extra, number);
      this.moved.add(extra);
    }
    const changed = [...wanted].filter(([one, number]) => one.number !== number);
    for (const [one, number] of changed) {
      one.number = number;
      forgetRows(one);
    }
    return changed.map(([one]) => one);
  }

  private enter(created: PeerClass): void {
    const group = this.wanting.get(created.number);
    if (group === undefined) {
      this.wanting.set(created.number, [created]);
      return;
    }
    group.push(created);
    this.contested.add(created.number);
  }

  private leave(released: PeerClass): void {
    const wanted = wantedNumber(released.digest);
    const rest = (this.wanting.get(wanted) ?? []).filter((one) => one !== released);
    this.moved.delete(released);
    if (rest.length === 0) this.wanting.delete(wanted);
    else this.wanting.set(wanted, rest);
    // A contested number stays listed until the next renumbering, which gives it back to the class that is left.
  }
}

/** Entries that were made for the class are made anew. */
export function forgetRows({ rows }: PeerClass): void {
  rows.clear();
}

function signatureOf({ atoms, names, ownNode }: ClassContent): string {
  return `${ownNode ? 'own' : ''}|${atoms.map((atom) => atom.index).join(',')}|${namesKey(names)}`;
}

function digestOf({ atoms, names, ownNode }: ClassContent): Lanes {
  const set = new SetDigest();
  for (const atom of atoms) set.add(atom.digest);
  return new ContentHash().lanes(set.lanes()).text(namesKey(names)).int(ownNode ? 1 : 0).finish();
}

function wantedNumber(digest: Lanes): number {
  return digest[0] === 0 ? 1 : digest[0];
}

function compareLanes(a: Lanes, b: Lanes): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3];
}
