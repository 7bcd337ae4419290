/** Which DNS selectors an address may hold together, and the binding the datapath learns by (rules 27, 44). */

import { canonicalName, compileFqdnSelector } from '../fqdn-pattern.ts';
import type { FqdnSelector } from '../resolution.ts';
import { compareText } from './candidate-rule.ts';
import type { PeerAtom } from './peer-atom.ts';

/**
 * Sets beyond this number are left out, the smallest kept. An address whose exact set is not listed takes a listed subset:
 * names occur in allow rules only, so it can be allowed less, never more, until the set is asked for by `learned`.
 */
export const MAX_FQDN_SETS = 256;

/** A selector with every peer that says the same (they may differ in case). */
export interface FqdnEntry {
  readonly selector: FqdnSelector;
  readonly atoms: readonly PeerAtom[];
}

/** Sorted by kind and value. */
export function fqdnEntries(atoms: Iterable<PeerAtom>): FqdnEntry[] {
  const byText = new Map<string, { selector: FqdnSelector; atoms: PeerAtom[] }>();
  for (const atom of atoms) {
    if (atom.peer.kind !== 'fqdn') continue;
    const { kind, value } = atom.peer.name;
    const selector: FqdnSelector = { kind, value: canonicalName(value.trim()) };
    const text = `${selector.kind} ${selector.value}`;
    const known = byText.get(text);
    if (known === undefined) byText.set(text, { selector, atoms: [atom] });
    else known.atoms.push(atom);
  }
  return [...byText].sort(([a], [b]) => compareText(a, b)).map(([, entry]) => entry);
}

/**
 * Sets of selector indexes, each ascending, in order of size and then of content; `learned`: the names of addresses that
 * were learned under several, which always get their sets.
 */
export function fqdnSets(selectors: readonly FqdnSelector[], learned: readonly (readonly string[])[]): readonly (readonly number[])[] {
  const tests = selectors.map(compileFqdnSelector);
  const matching = (name: string): number[] => tests.flatMap((test, i) => (test(name) ? [i] : []));
  const single = new Map<string, readonly number[]>();
  const add = (to: Map<string, readonly number[]>, set: readonly number[]): void => void (set.length > 0 && to.set(set.join(), set));
  for (const [i, selector] of selectors.entries()) {
    add(single, [i]);
    add(single, matching(sampleOf(selector)));
  }
  const sets = new Map<string, readonly number[]>();
  for (const names of learned) add(sets, union(names.map((name) => matching(canonicalName(name)))));
  const wanted = sets.size + MAX_FQDN_SETS;
  for (const [key, set] of single) if (sets.size < wanted) sets.set(key, set);
  // Addresses shared by several names hold the union of their sets.
  let last = [...single.values()];
  while (last.length > 0 && sets.size < wanted) {
    const next: (readonly number[])[] = [];
    for (const set of last) {
      for (const other of single.values()) {
        const both = union([set, other]);
        if (sets.has(both.join()) || sets.size >= wanted) continue;
        sets.set(both.join(), both);
        next.push(both);
      }
    }
    last = next;
  }
  return [...sets.values()].sort((a, b) => a.length - b.length || compareText(a.join(), b.join()));
}

/** Some name the selector matches, stars read as one plain label. */
function sampleOf({ kind, value }: FqdnSelector): string {
  return kind === 'name' ? value : value.replace(/\*+/g, 'x');
}

function union(sets: readonly (readonly number[])[]): number[] {
  return [...new Set(sets.flat())].sort((a, b) => a - b);
}
