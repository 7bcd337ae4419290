/** The entries of one rule set: a row per peer class, kept sorted, joined into one list, and summed into a digest. */

import { ANY_CLASS, type Direction, type PolicyEntry } from '../resolution.ts';
import { ContentHash, SetDigest, type Lanes } from './content-digest.ts';
import type { Decision, DecisionTable } from './decision.ts';
import type { MadeRow, PeerClass } from './peer-class.ts';
import type { RowKind, RowKinds } from './row-kind.ts';
import type { EntryTemplates } from './table-rows.ts';

/** What entries depend on besides class and templates. */
export interface RowContext {
  readonly direction: Direction;
  readonly decisions: DecisionTable;
  readonly rowKinds: RowKinds;
  /** Index of content rules in `ResolvedNode.l7Rules`. */
  l7Index(decision: Decision): number;
  /** Number to report for a decision, default denies included. */
  ruleIdOf(decision: Decision): number;
}

/** `made` is there once `finish` has run. */
interface Row {
  readonly templates: EntryTemplates;
  made?: MadeRow | undefined;
}

/** Up to so many changed rows are patched into the list; beyond that it is written anew. */
const PATCH_UP_TO = 48;
const VERDICT_CODE = { allow: 0, deny: 1, audit: 2, l7: 3 } as const;

export class RowTable {
  /** Raised by every change of entries. */
  version = 0;
  private readonly context: RowContext;
  private readonly rows = new Map<PeerClass, Row>();
  private readonly unmade = new Map<PeerClass, Row>();
  /** Classes of `rows` in the order of their numbers; undefined: to be sorted. */
  private order: PeerClass[] | undefined;
  private readonly templateUses = new Map<EntryTemplates, number>();
  private readonly digests = new Map<EntryTemplates, Lanes>();
  private readonly kinds = new Map<EntryTemplates, RowKind>();
  private readonly sum = new SetDigest();
  private any: Row = { templates: [] };
  private flat: readonly PolicyEntry[] | undefined;
  /** Numbers of classes whose rows changed since `flat` was written. */
  private readonly changed = new Set<number>();

  constructor(context: RowContext) {
    this.context = context;
  }

  setAny(templates: EntryTemplates): void {
    this.any = { templates };
    this.version++;
    this.flat = undefined;
  }

  /** A class that has no row yet. No templates: no row. */
  set(peerClass: PeerClass, templates: EntryTemplates): void {
    if (templates.length === 0) return;
    const row: Row = { templates };
    this.rows.set(peerClass, row);
    this.unmade.set(peerClass, row);
    this.countTemplates(templates, 1);
    this.order?.splice(positionOf(this.order, peerClass.number), 0, peerClass);
    this.note(peerClass.number);
  }

  delete(peerClass: PeerClass): void {
    const row = this.rows.get(peerClass);
    if (row === undefined) return;
    this.rows.delete(peerClass);
    this.unmade.delete(peerClass);
    this.countTemplates(row.templates, -1);
    if (row.made !== undefined) this.sum.remove(row.made.digest);
    // Its number may have changed since the row was made.
    const number = row.made?.entries[0]?.peerClass ?? peerClass.number;
    this.note(number);
    if (this.order === undefined) return;
    const at = positionOf(this.order, peerClass.number);
    if (number === peerClass.number && this.order[at] === peerClass) this.order.splice(at, 1);
    else this.order = undefined;
  }

  clear(): void {
    this.order = undefined;
    this.flat = undefined;
    for (const peerClass of [...this.rows.keys()]) this.delete(peerClass);
  }

  /** Templates of all rows, each once. */
  *templates(): Iterable<EntryTemplates> {
    yield this.any.templates;
    yield* this.templateUses.keys();
  }

  /** Content rules got other indexes: entries that point at them are to be made anew. */
  reindexL7(): void {
    this.digests.clear();
    this.kinds.clear();
    for (const [peerClass, row] of this.rows) {
      if (row.made === undefined || row.templates.every(({ decision }) => this.context.decisions.get(decision).l7 === undefined)) continue;
      this.sum.remove(row.made.digest);
      row.made = undefined;
      this.unmade.set(peerClass, row);
      this.note(peerClass.number);
    }
    this.setAny(this.any.templates);
  }

  /** Makes the entries of new rows; the indexes of content rules must be settled. */
  finish(): void {
    for (const [peerClass, row] of this.unmade) {
      row.made = this.sharedRow(peerClass, row.templates);
      this.sum.add(row.made.digest);
    }
    this.unmade.clear();
    this.any.made ??= this.make(ANY_CLASS, this.any.templates);
  }

  /** Sorted by class, then as the templates are; valid after `finish`. */
  entries(): readonly PolicyEntry[] {
    this.order ??= [...this.rows.keys()].sort((a, b) => a.number - b.number);
    if (this.flat === undefined || this.changed.size > PATCH_UP_TO) this.flat = this.written(this.order);
    else if (this.changed.size > 0) this.flat = this.patched(this.flat, this.order);
    this.changed.clear();
    return this.flat;
  }

  digest(): Lanes {
    return new ContentHash().lanes(this.any.made?.digest ?? [0, 0, 0, 0]).lanes(this.sum.lanes()).finish();
  }

  private note(number: number): void {
    this.version++;
    if (this.flat !== undefined) this.changed.add(number);
  }

  private written(order: readonly PeerClass[]): PolicyEntry[] {
    let count = this.any.templates.length;
    for (const [templates, uses] of this.templateUses) count += templates.length * uses;
    const entries = new Array<PolicyEntry>(count);
    let at = 0;
    for (const entry of this.any.made?.entries ?? []) entries[at++] = entry;
    for (const peerClass of order) for (const entry of this.rowEntries(peerClass)) entries[at++] = entry;
    return entries;
  }

  /** Copies the stretches between changed classes as a whole. */
  private patched(flat: readonly PolicyEntry[], order: readonly PeerClass[]): readonly PolicyEntry[] {
    const parts: (readonly PolicyEntry[])[] = [];
    let from = 0;
    for (const number of [...this.changed].sort((a, b) => a - b)) {
      const start = firstOf(flat, number);
      let end = start;
      while (flat[end]?.peerClass === number) end++;
      parts.push(flat.slice(from, start));
      const holder = order[positionOf(order, number)];
      if (holder?.number === number) parts.push(this.rowEntries(holder));
      from = end;
    }
    parts.push(flat.slice(from));
    return ([] as PolicyEntry[]).concat(...parts);
  }

  private rowEntries(peerClass: PeerClass): readonly PolicyEntry[] {
    return this.rows.get(peerClass)?.made?.entries ?? [];
  }

  private countTemplates(templates: EntryTemplates, step: number): void {
    const uses = (this.templateUses.get(templates) ?? 0) + step;
    if (uses > 0) this.templateUses.set(templates, uses);
    else this.templateUses.delete(templates);
  }

  /** Rule sets that give a class the same kind of row share its entries. */
  private sharedRow({ number, rows }: PeerClass, templates: EntryTemplates): MadeRow {
    const kind = this.kindOf(templates);
    let made = rows.get(kind);
    if (made === undefined) {
      made = this.make(number, templates, rows.get(kind.sibling));
      rows.set(kind, made);
      this.context.rowKinds.madeRows++;
    }
    return made;
  }

  private kindOf(templates: EntryTemplates): RowKind {
    let kind = this.kinds.get(templates);
    if (kind === undefined) {
      const special = templates.map(({ decision }) => this.context.decisions.get(decision)).filter(dependsOnContext);
      const text = special.map((decision) => `${this.context.ruleIdOf(decision)}.${decision.l7 === undefined ? '' : this.context.l7Index(decision)}`).join();
      kind = this.context.rowKinds.get(this.context.direction, templates, text);
      this.kinds.set(templates, kind);
    }
    return kind;
  }

  /** `sibling`: a row from the same templates in another context, whose independent entries are taken over. */
  private make(peerClass: number, templates: EntryTemplates, sibling?: MadeRow): MadeRow {
    const entries = templates.map((template, i): PolicyEntry => {
      const decision = this.context.decisions.get(template.decision);
      const taken = dependsOnContext(decision) ? undefined : sibling?.entries[i];
      if (taken !== undefined) return taken;
      return {
        direction: this.context.direction,
        peerClass,
        protocol: template.protocol,
        port: template.port,
        portPrefixLength: template.portPrefixLength,
        verdict: decision.verdict,
        ruleId: this.context.ruleIdOf(decision),
        ...(decision.l7 === undefined ? {} : { l7: this.context.l7Index(decision) }),
        ...(decision.log ? { log: true } : {}),
      };
    });
    return { entries, digest: new ContentHash().int(peerClass).lanes(this.digestOf(templates, entries)).finish() };
  }

  /** Digest of the entries but for their class. */
  private digestOf(templates: EntryTemplates, entries: readonly PolicyEntry[]): Lanes {
    let digest = this.digests.get(templates);
    if (digest === undefined) {
      const hash = new ContentHash().text(this.context.direction);
      for (const { protocol, port, portPrefixLength, verdict, ruleId, l7, log } of entries) {
        hash.int(protocol).int(port).int(portPrefixLength).int(VERDICT_CODE[verdict]).int(ruleId).int(l7 ?? -1).int(log === true ? 1 : 0);
      }
      digest = hash.finish();
      this.digests.set(templates, digest);
    }
    return digest;
  }
}

function dependsOnContext({ by, l7 }: Decision): boolean {
  return typeof by !== 'number' || l7 !== undefined;
}

/** First position whose number is not smaller. */
function positionOf(order: readonly PeerClass[], number: number): number {
  return firstWhere(order.length, (at) => (order[at]?.number ?? 0) >= number);
}

function firstOf(entries: readonly PolicyEntry[], peerClass: number): number {
  return firstWhere(entries.length, (at) => (entries[at]?.peerClass ?? 0) >= peerClass);
}

/** First position that fulfils a test which holds from some position on; `length` where none does. */
function firstWhere(length: number, test: (at: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (test(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
