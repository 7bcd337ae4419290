/** Rule sets in use by local endpoints, and through them the rules and peers that matter on this node at all. */

import { placeOf, type Peer } from '../ir.ts';
import type { RuleReference } from '../resolution.ts';
import { blockReference, type CandidateRule } from './candidate-rule.ts';
import { compilePeerAtom, type PeerAtom, type ReferredFacts } from './peer-atom.ts';
import { RuleSet, ruleSetKey, type RuleSetContent, type RuleSetTools } from './rule-set.ts';

/** Peers that came into use or went out of it since they were last taken. */
export interface AtomChanges {
  readonly added: readonly PeerAtom[];
  readonly removed: readonly PeerAtom[];
  /** Port names that rules ask of destinations changed. */
  readonly namesChanged: boolean;
}

export class RuleSetStore {
  /** Port names that egress rules with any peer ask for, with their number of rules. */
  readonly anyPeerNames = new Map<string, number>();
  private readonly facts: ReferredFacts;
  private tools: RuleSetTools;
  private readonly sets = new Map<string, RuleSet>();
  private readonly atoms = new Map<string, PeerAtom>();
  private readonly entered = new Set<PeerAtom>();
  private readonly references = new Map<number, RuleReference>();
  private readonly unbuilt = new Set<RuleSet>();
  private nextAtom = 0;
  private namesChanged = false;

  constructor(facts: ReferredFacts, tools: RuleSetTools) {
    this.facts = facts;
    this.tools = tools;
  }

  /** The rule set of that content, counted as used once more. */
  use(content: RuleSetContent): RuleSet {
    const key = ruleSetKey(content);
    let set = this.sets.get(key);
    if (set === undefined) {
      for (const { rules } of content.blocks) for (const rule of rules) this.retain(rule);
      set = new RuleSet(content, this.tools, key);
      this.sets.set(key, set);
      this.unbuilt.add(set);
    }
    set.uses++;
    return set;
  }

  release(set: RuleSet): void {
    if (--set.uses > 0) return;
    this.sets.delete(set.key);
    this.unbuilt.delete(set);
    for (const rule of set.rules) this.releaseRule(rule);
  }

  values(): Iterable<RuleSet> {
    return this.sets.values();
  }

  /** Replaces every set by an equal one without memory; their rows are to be computed. */
  renew(tools: RuleSetTools): ReadonlyMap<RuleSet, RuleSet> {
    this.tools = tools;
    const renewed = new Map<RuleSet, RuleSet>();
    for (const [key, old] of this.sets) {
      const set = new RuleSet(old.content, tools, key);
      set.uses = old.uses;
      renewed.set(old, set);
      this.sets.set(key, set);
      this.unbuilt.delete(old);
      this.unbuilt.add(set);
    }
    return renewed;
  }

  /** Sets created since the last call: their rows are to be computed. */
  takeUnbuilt(): ReadonlySet<RuleSet> {
    const taken = new Set(this.unbuilt);
    this.unbuilt.clear();
    return taken;
  }

  /** Call until the peer world knows exactly the atoms in use. */
  takeAtomChanges(): AtomChanges {
    const added: PeerAtom[] = [];
    const removed: PeerAtom[] = [];
    for (const atom of this.atoms.values()) {
      if (atom.uses > 0 && !this.entered.has(atom)) added.push(atom);
      if (atom.uses > 0) continue;
      this.atoms.delete(atom.key);
      if (this.entered.has(atom)) removed.push(atom);
    }
    for (const atom of added) this.entered.add(atom);
    for (const atom of removed) this.entered.delete(atom);
    const { namesChanged } = this;
    this.namesChanged = false;
    return { added, removed, namesChanged };
  }

  /** True when a rule of the set has a peer that fulfils the predicate. */
  hasPeer(set: RuleSet, test: (peer: Peer) => boolean): boolean {
    return set.rules.some(({ rule }) => rule.peers.some(test));
  }

  /** Reference of a rule of some set in use. */
  reference(ruleId: number): RuleReference | undefined {
    return this.references.get(ruleId);
  }

  atomsInUse(): Iterable<PeerAtom> {
    return this.entered;
  }

  private retain(rule: CandidateRule): void {
    if (rule.uses++ > 0) return;
    const { block, rule: ir } = rule;
    this.references.set(ir.id, {
      ruleId: ir.id,
      kind: 'rule',
      direction: block.block.direction,
      policies: [{ ...blockReference(block), ...placeOf(ir, block.block) }],
    });
    const keys = new Map(ir.peers.map((peer) => [JSON.stringify(peer), peer]));
    rule.atoms = rule.anyPeer ? [] : [...keys].map(([key, peer]) => this.atomFor(key, peer));
    for (const atom of rule.atoms) atom.uses++;
    this.countNames(rule, 1);
  }

  private releaseRule(rule: CandidateRule): void {
    if (--rule.uses > 0) return;
    this.references.delete(rule.rule.id);
    this.countNames(rule, -1);
    for (const atom of rule.atoms) atom.uses--;
  }

  private atomFor(key: string, peer: Peer): PeerAtom {
    let atom = this.atoms.get(key);
    if (atom === undefined) {
      atom = compilePeerAtom(this.nextAtom++, peer, key, this.facts);
      this.atoms.set(key, atom);
    }
    return atom;
  }

  private countNames({ rule, named, anyPeer, atoms, block }: CandidateRule, step: number): void {
    if (block.block.direction !== 'egress' || named.length === 0 || rule.ports.length === 0) return;
    const counts = anyPeer ? [this.anyPeerNames] : atoms.map(({ portNames }) => portNames);
    for (const { name } of named) {
      for (const count of counts) {
        const uses = (count.get(name) ?? 0) + step;
        if (uses > 0) count.set(name, uses);
        else count.delete(name);
      }
    }
    this.namesChanged = true;
  }
}
