/** Everything that speaks about one or more local endpoints in one direction, and the entries that follow from it. */

import { wantedDefaultDenyId } from '../rule-id.ts';
import type { Direction, PolicyEntry, RuleReference } from '../resolution.ts';
import { blockReference, compareBlocks, type CandidateBlock, type CandidateRule } from './candidate-rule.ts';
import type { Lanes } from './content-digest.ts';
import type { Decision, DecisionTable } from './decision.ts';
import type { PeerAtom } from './peer-atom.ts';
import type { PeerClass } from './peer-class.ts';
import { namesKey, type PortName } from './port-names.ts';
import type { Circumstances, MatchedRules, PortFunction, PortFunctionBuilder } from './port-function.ts';
import type { RowKinds } from './row-kind.ts';
import { RowTable } from './row-table.ts';
import type { EntryTemplates, RowCover } from './table-rows.ts';

/** What endpoints must have in common to share entries. */
export interface RuleSetContent {
  readonly direction: Direction;
  /** Of this direction, in any order. */
  readonly blocks: readonly CandidateBlock[];
  /** Isolated without a policy (rule 39). */
  readonly alwaysIsolated: boolean;
  readonly audit: boolean;
  /** The host itself, which does not restrict traffic with itself. */
  readonly isNode: boolean;
  /** Ports that the endpoint names where it is the destination; empty for egress. */
  readonly names: readonly PortName[];
}

/** Shared by all rule sets of a resolver. */
export interface RuleSetTools {
  readonly decisions: DecisionTable;
  readonly functions: PortFunctionBuilder;
  readonly cover: RowCover;
  readonly rowKinds: RowKinds;
  /** Functions by matched rules and circumstances. */
  readonly functionsByRules: Map<string, PortFunction>;
  /** Index of content rules in `ResolvedNode.l7Rules` by decision. */
  l7Index(decision: Decision): number;
}

export class RuleSet {
  readonly key: string;
  readonly direction: Direction;
  readonly blocks: readonly CandidateBlock[];
  /** In order of evaluation, tier after tier. */
  readonly rules: readonly CandidateRule[];
  /** Default denies by enforced policies, and by observed ones too. */
  readonly enforcedDeny: RuleReference | undefined;
  readonly deny: RuleReference | undefined;
  uses = 0;

  readonly content: RuleSetContent;
  private readonly tools: RuleSetTools;
  private readonly rulesByAtom = new Map<PeerAtom, number[]>();
  private readonly anyRules: readonly number[];
  private readonly flags: string;
  private readonly circumstances: Omit<Circumstances, 'fromOwnNode'>;
  private readonly table: RowTable;
  private anyPortFunction: PortFunction | undefined;
  private used: readonly number[] | undefined;

  /** The atoms of the rules must be filled in. */
  constructor(content: RuleSetContent, tools: RuleSetTools, key = ruleSetKey(content)) {
    this.key = key;
    this.content = content;
    this.tools = tools;
    this.direction = content.direction;
    this.blocks = content.blocks.toSorted(compareInTier);
    this.rules = this.blocks.flatMap(({ rules }) => rules);
    const isolating = this.blocks.filter(({ block }) => block.tier === 'normal' && block.isolates);
    const enforced = isolating.filter(({ observed }) => !observed);
    this.enforcedDeny = defaultDeny(this.direction, enforced);
    this.deny = defaultDeny(this.direction, isolating);
    this.circumstances = {
      isolatedEnforced: content.alwaysIsolated || enforced.length > 0,
      isolated: content.alwaysIsolated || isolating.length > 0,
      hasObserved: this.blocks.some(({ observed }) => observed),
      audit: content.audit,
    };
    this.flags = JSON.stringify(this.circumstances);
    this.anyRules = this.rules.flatMap(({ anyPeer }, i) => (anyPeer ? [i] : []));
    this.rules.forEach(({ atoms }, i) => {
      for (const atom of atoms) {
        const list = this.rulesByAtom.get(atom);
        if (list === undefined) this.rulesByAtom.set(atom, [i]);
        else list.push(i);
      }
    });
    this.table = new RowTable({
      direction: this.direction,
      decisions: tools.decisions,
      rowKinds: tools.rowKinds,
      l7Index: (decision) => tools.l7Index(decision),
      ruleIdOf: (decision) => (typeof decision.by === 'number' ? decision.by : (this.denyOf(decision)?.ruleId ?? 0)),
    });
    this.table.setAny(tools.cover.cover(this.anyFunction(), undefined));
  }

  /** Computes every row; `classesOf` gives the classes an atom matches. */
  rebuild(classes: Iterable<PeerClass>, slotCount: number, classesOf: (atom: PeerAtom) => Iterable<PeerClass>): void {
    this.table.clear();
    this.used = undefined;
    // Classes that match the same atoms of this set share a step in a tree of atoms taken in one order.
    const steps = new Int32Array(slotCount);
    const parents: number[] = [-1];
    const taken: (PeerAtom | undefined)[] = [undefined];
    const touched = new Set<PeerClass>();
    for (const atom of this.rulesByAtom.keys()) {
      const next = new Map<number, number>();
      for (const peerClass of classesOf(atom)) {
        const from = steps[peerClass.slot] ?? 0;
        if (from === 0) touched.add(peerClass);
        let to = next.get(from);
        if (to === undefined) {
          to = parents.length;
          parents.push(from);
          taken.push(atom);
          next.set(from, to);
        }
        steps[peerClass.slot] = to;
      }
    }
    const atomsOf = (step: number): PeerAtom[] => {
      const atoms: PeerAtom[] = [];
      for (let at = step; at > 0; at = parents[at] ?? 0) atoms.push(taken[at] as PeerAtom);
      return atoms;
    };
    const templatesByStep = new Map<number, EntryTemplates>();
    for (const peerClass of classes) {
      const special = peerClass.ownNode || peerClass.names.length > 0;
      if (!special && !touched.has(peerClass)) continue;
      const step = steps[peerClass.slot] ?? 0;
      let templates = special ? undefined : templatesByStep.get(step);
      if (templates === undefined) {
        templates = this.templatesFor(this.matchedBy(atomsOf(step)), peerClass);
        if (!special) templatesByStep.set(step, templates);
      }
      this.table.set(peerClass, templates);
    }
  }

  addClass(peerClass: PeerClass): void {
    this.used = undefined;
    this.table.set(peerClass, this.templatesFor(this.matchedBy(peerClass.atoms), peerClass));
  }

  removeClass(peerClass: PeerClass): void {
    this.used = undefined;
    this.table.delete(peerClass);
  }

  /** Decisions that some entry holds. */
  usedDecisions(): readonly number[] {
    if (this.used !== undefined) return this.used;
    const used = new Set<number>();
    for (const templates of this.table.templates()) for (const { decision } of templates) used.add(decision);
    this.used = [...used];
    return this.used;
  }

  /** Content rules got other indexes: entries that point at them are to be made anew. */
  reindexL7(): void {
    this.table.reindexL7();
  }

  /** Makes the entries of new rows; the indexes of content rules must be settled. */
  finish(): void {
    this.table.finish();
  }

  /** Sorted by class, protocol, prefix length descending and port; valid after `finish`. */
  entries(): readonly PolicyEntry[] {
    return this.table.entries();
  }

  digest(): Lanes {
    return this.table.digest();
  }

  /** The policies behind a decision that no single rule took. */
  denyOf(decision: Decision): RuleReference | undefined {
    return decision.by === 'enforced-default-deny' ? this.enforcedDeny : decision.by === 'default-deny' ? this.deny : undefined;
  }

  private anyFunction(): PortFunction {
    this.anyPortFunction ??= this.functionFor(this.anyRules, this.content.names, false);
    return this.anyPortFunction;
  }

  private matchedBy(atoms: readonly PeerAtom[]): readonly number[] {
    const matched = new Set(this.anyRules);
    for (const atom of atoms) for (const rule of this.rulesByAtom.get(atom) ?? []) matched.add(rule);
    return [...matched].sort((a, b) => a - b);
  }

  private templatesFor(matched: readonly number[], { ownNode, names }: PeerClass): EntryTemplates {
    const wanted =
      ownNode && this.content.isNode
        ? this.tools.functions.build({ admin: [], normal: [], baseline: [] }, [], { isolated: false, isolatedEnforced: false, hasObserved: false, audit: false, fromOwnNode: false })
        : this.functionFor(matched, this.direction === 'egress' ? names : this.content.names, ownNode && this.direction === 'ingress');
    return this.tools.cover.cover(wanted, this.anyFunction());
  }

  private functionFor(matched: readonly number[], names: readonly PortName[], fromOwnNode: boolean): PortFunction {
    const rules = matched.map((i) => this.rules[i] as CandidateRule);
    const asked = names.length > 0 && rules.some(({ named }) => named.length > 0) ? names : [];
    const key = `${rules.map(({ uid }) => uid).join(',')}|${this.flags}|${fromOwnNode}|${namesKey(asked)}`;
    let found = this.tools.functionsByRules.get(key);
    if (found === undefined) {
      found = this.tools.functions.build(byTier(rules), asked, { ...this.circumstances, fromOwnNode });
      this.tools.functionsByRules.set(key, found);
    }
    return found;
  }
}

const TIER_ORDER = { admin: 0, normal: 1, baseline: 2 } as const;

function compareInTier(a: CandidateBlock, b: CandidateBlock): number {
  return TIER_ORDER[a.block.tier] - TIER_ORDER[b.block.tier] || compareBlocks(a, b);
}

function byTier(rules: readonly CandidateRule[]): MatchedRules {
  const of = (tier: keyof typeof TIER_ORDER): CandidateRule[] => rules.filter(({ block }) => block.block.tier === tier);
  return { admin: of('admin'), normal: of('normal'), baseline: of('baseline') };
}

function defaultDeny(direction: Direction, isolating: readonly CandidateBlock[]): RuleReference | undefined {
  if (isolating.length === 0) return undefined;
  const unique = new Map(isolating.map((block) => [block.key, block]));
  return {
    ruleId: wantedDefaultDenyId(direction, [...unique.keys()]),
    kind: 'default-deny',
    direction,
    policies: [...unique.values()].map(blockReference),
  };
}

/** Equal keys, equal rule sets. */
export function ruleSetKey({ direction, blocks, alwaysIsolated, audit, isNode, names }: RuleSetContent): string {
  const asked = blocks.some(({ rules }) => rules.some(({ named }) => named.length > 0)) ? namesKey(names) : '';
  return `${direction}|${blocks.map(({ uid }) => uid).sort((a, b) => a - b).join(',')}|${alwaysIsolated}|${audit}|${isNode}|${asked}`;
}
