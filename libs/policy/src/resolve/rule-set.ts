/** Everything that speaks about one or more local endpoints in one direction, and the entries that follow from it. */

import { wantedDefaultDenyId } from '../rule-id.ts';
import { ANY_CLASS, type Direction, type PolicyEntry, type RuleReference } from '../resolution.ts';
import { blockReference, compareBlocks, type CandidateBlock, type CandidateRule } from './candidate-rule.ts';
import { ContentHash, SetDigest, type Lanes } from './content-digest.ts';
import type { Decision, DecisionTable } from './decision.ts';
import type { PeerAtom } from './peer-atom.ts';
import { namesKey, type MadeRow, type PeerClass } from './peer-class.ts';
import type { Circumstances, MatchedRules, PortFunction, PortFunctionBuilder, PortName } from './port-function.ts';
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
  /** Functions by matched rules and circumstances. */
  readonly functionsByRules: Map<string, PortFunction>;
  /** Index of content rules in `ResolvedNode.l7Rules` by decision. */
  l7Index(decision: Decision): number;
}

/** `made` is there once `finish` has run. */
interface Row {
  readonly templates: EntryTemplates;
  made?: MadeRow | undefined;
}

/** Contexts of gone policies are not looked for: beyond this number all are forgotten. */
const MAX_CONTEXTS = 512;

const VERDICT_CODE = { allow: 0, deny: 1, audit: 2, l7: 3 } as const;

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

  private readonly content: RuleSetContent;
  private readonly tools: RuleSetTools;
  private readonly rulesByAtom = new Map<PeerAtom, number[]>();
  private readonly anyRules: readonly number[];
  private readonly flags: string;
  private readonly circumstances: Omit<Circumstances, 'fromOwnNode'>;
  private readonly rows = new Map<PeerClass, Row>();
  /** Classes of `rows` in the order of their numbers; undefined: to be sorted. */
  private order: PeerClass[] | undefined;
  private readonly templateUses = new Map<EntryTemplates, number>();
  private readonly sum = new SetDigest();
  private readonly unmade = new Map<PeerClass, Row>();
  private anyRow: Row | undefined;
  private used: readonly number[] | undefined;
  /** Raised by every change of entries. */
  version = 0;

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
  }

  /** Computes every row; `classesOf` gives the classes an atom matches. */
  rebuild(classes: Iterable<PeerClass>, slotCount: number, classesOf: (atom: PeerAtom) => Iterable<PeerClass>): void {
    this.clear();
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
      this.setRow(peerClass, templates);
    }
  }

  addClass(peerClass: PeerClass): void {
    this.setRow(peerClass, this.templatesFor(this.matchedBy(peerClass.atoms), peerClass));
  }

  removeClass(peerClass: PeerClass): void {
    const row = this.rows.get(peerClass);
    if (row === undefined) return;
    this.rows.delete(peerClass);
    this.unmade.delete(peerClass);
    if (row.made !== undefined) this.sum.remove(row.made.digest);
    this.countTemplates(row.templates, -1);
    this.leaveOrder(peerClass);
    this.version++;
  }

  /** Decisions that some entry holds. */
  usedDecisions(): readonly number[] {
    if (this.used !== undefined) return this.used;
    const used = new Set<number>();
    for (const templates of [this.any().templates, ...this.templateUses.keys()]) for (const { decision } of templates) used.add(decision);
    this.used = [...used];
    return this.used;
  }

  /** Content rules got other indexes: entries that point at them are to be made anew. */
  reindexL7(): void {
    this.digests.clear();
    this.contexts.clear();
    for (const [peerClass, row] of this.rows) {
      if (row.made === undefined || row.templates.every(({ decision }) => this.tools.decisions.get(decision).l7 === undefined)) continue;
      this.sum.remove(row.made.digest);
      row.made = undefined;
      this.unmade.set(peerClass, row);
    }
    this.anyRow = undefined;
    this.version++;
  }

  /** Makes the entries of new rows; the indexes of content rules must be settled. */
  finish(): void {
    for (const [peerClass, row] of this.unmade) {
      row.made = this.sharedRow(peerClass, row.templates);
      this.sum.add(row.made.digest);
    }
    this.unmade.clear();
    const any = this.any();
    any.made ??= this.make(ANY_CLASS, any.templates);
  }

  /** Number of entries; valid after `finish`. */
  entryCount(): number {
    let count = this.any().templates.length;
    for (const [templates, uses] of this.templateUses) count += templates.length * uses;
    return count;
  }

  /** Writes the entries, sorted by class, then as the templates are; returns the position after the last. */
  writeEntries(into: PolicyEntry[], from: number): number {
    let at = from;
    for (const entry of this.any().made?.entries ?? []) into[at++] = entry;
    this.order ??= [...this.rows.keys()].sort((a, b) => a.number - b.number);
    for (const peerClass of this.order) {
      const entries = this.rows.get(peerClass)?.made?.entries ?? [];
      for (let i = 0; i < entries.length; i++) into[at++] = entries[i] as PolicyEntry;
    }
    return at;
  }

  digest(): Lanes {
    return new ContentHash().lanes(this.any().made?.digest ?? [0, 0, 0, 0]).lanes(this.sum.lanes()).finish();
  }

  /** The policies behind a decision that no single rule took. */
  denyOf(decision: Decision): RuleReference | undefined {
    return decision.by === 'enforced-default-deny' ? this.enforcedDeny : decision.by === 'default-deny' ? this.deny : undefined;
  }

  private clear(): void {
    this.order = undefined;
    for (const peerClass of [...this.rows.keys()]) this.removeClass(peerClass);
  }

  private setRow(peerClass: PeerClass, templates: EntryTemplates): void {
    if (templates.length === 0) return;
    const row: Row = { templates };
    this.rows.set(peerClass, row);
    this.unmade.set(peerClass, row);
    this.countTemplates(templates, 1);
    this.enterOrder(peerClass);
    this.version++;
  }

  private any(): Row {
    this.anyRow ??= { templates: this.tools.cover.cover(this.anyFunction(), undefined) };
    return this.anyRow;
  }

  private anyPortFunction: PortFunction | undefined;

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

  private enterOrder(peerClass: PeerClass): void {
    this.order?.splice(positionOf(this.order, peerClass.number), 0, peerClass);
  }

  /** A class may have got another number since it came in: then the order is made anew. */
  private leaveOrder(peerClass: PeerClass): void {
    if (this.order === undefined) return;
    const at = positionOf(this.order, peerClass.number);
    if (this.order[at] === peerClass) this.order.splice(at, 1);
    else this.order = undefined;
  }

  private countTemplates(templates: EntryTemplates, step: number): void {
    const uses = (this.templateUses.get(templates) ?? 0) + step;
    if (uses <= 1) this.used = undefined;
    if (uses > 0) this.templateUses.set(templates, uses);
    else this.templateUses.delete(templates);
  }

  private sharedRow({ number, rows }: PeerClass, templates: EntryTemplates): MadeRow {
    const context = this.contextOf(templates);
    let byContext = rows[this.direction].get(templates);
    if (byContext === undefined) {
      byContext = new Map();
      rows[this.direction].set(templates, byContext);
    }
    let made = byContext.get(context);
    if (made === undefined) {
      const [sibling] = byContext.values();
      if (byContext.size >= MAX_CONTEXTS) byContext.clear();
      made = this.make(number, templates, sibling);
      byContext.set(context, made);
    }
    return made;
  }

  /** What entries depend on besides their templates: the policies behind a default deny, and indexes of content rules. */
  private contextOf(templates: EntryTemplates): string {
    let context = this.contexts.get(templates);
    if (context === undefined) {
      const decisions = templates.map(({ decision }) => this.tools.decisions.get(decision));
      const special = decisions.filter(dependsOnContext);
      context = special.map((decision) => `${this.ruleIdOf(decision)}.${decision.l7 === undefined ? '' : this.tools.l7Index(decision)}`).join();
      this.contexts.set(templates, context);
    }
    return context;
  }

  private readonly contexts = new Map<EntryTemplates, string>();

  /** `sibling`: a row from the same templates in another context, whose independent entries are taken over. */
  private make(peerClass: number, templates: EntryTemplates, sibling?: MadeRow): MadeRow {
    const entries = templates.map((template, i): PolicyEntry => {
      const decision = this.tools.decisions.get(template.decision);
      const taken = dependsOnContext(decision) ? undefined : sibling?.entries[i];
      if (taken !== undefined) return taken;
      return {
        direction: this.direction,
        peerClass,
        protocol: template.protocol,
        port: template.port,
        portPrefixLength: template.portPrefixLength,
        verdict: decision.verdict,
        ruleId: this.ruleIdOf(decision),
        ...(decision.l7 === undefined ? {} : { l7: this.tools.l7Index(decision) }),
        ...(decision.log ? { log: true } : {}),
      };
    });
    return { entries, digest: new ContentHash().int(peerClass).lanes(this.digestOf(templates, entries)).finish() };
  }

  private readonly digests = new Map<EntryTemplates, Lanes>();

  /** Digest of the entries but for their class. */
  private digestOf(templates: EntryTemplates, entries: readonly PolicyEntry[]): Lanes {
    let digest = this.digests.get(templates);
    if (digest === undefined) {
      const hash = new ContentHash().text(this.direction);
      for (const { protocol, port, portPrefixLength, verdict, ruleId, l7, log } of entries) {
        hash.int(protocol).int(port).int(portPrefixLength).int(VERDICT_CODE[verdict]).int(ruleId).int(l7 ?? -1).int(log === true ? 1 : 0);
      }
      digest = hash.finish();
      this.digests.set(templates, digest);
    }
    return digest;
  }

  private ruleIdOf(decision: Decision): number {
    return typeof decision.by === 'number' ? decision.by : (this.denyOf(decision)?.ruleId ?? 0);
  }
}

/** First position whose number is not smaller. */
function positionOf(order: readonly PeerClass[], number: number): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((order[middle]?.number ?? 0) < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

function dependsOnContext({ by, l7 }: Decision): boolean {
  return typeof by !== 'number' || l7 !== undefined;
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
