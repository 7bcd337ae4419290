/** The resolved node put together from its parts, with what did not change since the last time taken over. */

import type { AddressClass, FqdnBinding, L7RuleSet, PolicyEntry, ResolvedEndpoint, ResolvedNode, RuleReference } from '../resolution.ts';
import type { Holder } from './address-holder.ts';
import { compareText } from './candidate-rule.ts';
import { ContentHash, digestOfText, hexOf, SetDigest, type Lanes } from './content-digest.ts';
import type { Decision, DecisionTable } from './decision.ts';
import type { PeerEnd, PeerWorld } from './peer-world.ts';
import type { RuleSet } from './rule-set.ts';
import type { RuleSetStore } from './rule-set-store.ts';

/** A local endpoint with its rule sets; an endpoint that policy does not restrict has none. */
export interface PlacedEndpoint {
  readonly key: string;
  readonly identity: number;
  readonly egress?: RuleSet | undefined;
  readonly ingress?: RuleSet | undefined;
}

interface Address {
  readonly network: string;
  readonly cidr: string;
  /** Of an address somebody holds. */
  readonly holder?: Holder;
  /** Of an outside prefix, with that of the next wider one: equal ones say nothing new. */
  readonly end?: PeerEnd | undefined;
  readonly wider?: PeerEnd | undefined;
  made?: { readonly entry: AddressClass; readonly digest: Lanes } | undefined;
}

/** The list of addresses with their classes. */
export class AddressList {
  private sources: Address[] = [];
  private list: readonly AddressClass[] = [];
  private readonly sum = new SetDigest();

  get addresses(): readonly AddressClass[] {
    return this.list;
  }

  get digest(): Lanes {
    return this.sum.lanes();
  }

  /** Call after classes or the layout of the world changed. */
  update(world: PeerWorld): void {
    if (world.layoutChanged) this.relist(world);
    world.layoutChanged = false;
    const list: AddressClass[] = [];
    for (const source of this.sources) {
      this.refresh(source);
      if (source.made !== undefined) list.push(source.made.entry);
    }
    this.list = list;
  }

  private refresh(source: Address): void {
    const end = source.holder === undefined ? source.end : source.holder.end;
    const number = end?.peerClass?.number;
    const identity = end?.base.nature.identity;
    const { wider, made } = source;
    const redundant = wider !== undefined && wider.peerClass === end?.peerClass && wider.base === end?.base;
    if (number === undefined || identity === undefined || redundant) {
      if (made !== undefined) this.sum.remove(made.digest);
      source.made = undefined;
      return;
    }
    if (made !== undefined && made.entry.peerClass === number && made.entry.identity === identity) return;
    if (made !== undefined) this.sum.remove(made.digest);
    const entry = { network: source.network, cidr: source.cidr, peerClass: number, identity };
    source.made = { entry, digest: new ContentHash().text(entry.network).text(entry.cidr).int(number).int(identity).finish() };
    this.sum.add(source.made.digest);
  }

  private relist(world: PeerWorld): void {
    const known = new Map(this.sources.map((source) => [keyOf(source), source]));
    const sources: Address[] = [];
    const keep = (source: Address): void => {
      const key = keyOf(source);
      source.made = known.get(key)?.made;
      known.delete(key);
      sources.push(source);
    };
    for (const holder of world.holders.values()) keep({ network: holder.network, cidr: holder.cidr, holder });
    const held = new Set(sources.map(keyOf));
    for (const [text, end] of world.outside) {
      const parent = world.outsidePrefixes.parent(world.outsidePrefixes.node(end.prefix));
      const wider = parent === undefined ? undefined : world.outside.get(parent.text);
      for (const network of world.networks.keys()) if (!held.has(`${network}|${text}`)) keep({ network, cidr: text, end, wider });
    }
    for (const { made } of known.values()) if (made !== undefined) this.sum.remove(made.digest);
    this.sources = sources.sort((a, b) => compareText(a.network, b.network) || compareText(a.cidr, b.cidr));
  }
}

function keyOf({ network, cidr }: Pick<Address, 'network' | 'cidr'>): string {
  return `${network}|${cidr}`;
}

/** Classes of learned addresses, sorted; outside prefixes of one class give the same ones. */
export function fqdnClasses(world: PeerWorld): FqdnBinding['classes'] {
  const classes = new Map<string, FqdnBinding['classes'][number]>();
  for (const { learned, peerClass } of world.learnedEnds()) {
    const baseClass = learned?.from.peerClass?.number;
    if (learned === undefined || baseClass === undefined || peerClass === undefined) continue;
    classes.set(`${baseClass} ${learned.selectors.join()}`, { baseClass, selectors: learned.selectors, peerClass: peerClass.number });
  }
  return [...classes.values()].sort((a, b) => a.baseClass - b.baseClass || a.selectors.length - b.selectors.length || compareText(a.selectors.join(), b.selectors.join()));
}

/** Content rules of the node in the order of their text, so that equal contents have equal indexes. */
export class L7List {
  private texts: readonly string[] = [];
  private readonly indexes = new Map<Decision, number>();
  rules: readonly L7RuleSet[] = [];

  /** True when indexes moved. */
  update(sets: Iterable<RuleSet>, decisions: DecisionTable): boolean {
    const byText = new Map<string, L7RuleSet>();
    const withRules: Decision[] = [];
    for (const set of sets) {
      for (const number of set.usedDecisions()) {
        const decision = decisions.get(number);
        if (decision.l7 === undefined) continue;
        withRules.push(decision);
        byText.set(JSON.stringify(decision.l7), decision.l7);
      }
    }
    const texts = [...byText.keys()].sort();
    const same = texts.length === this.texts.length && texts.every((text, i) => text === this.texts[i]);
    const positions = new Map(texts.map((text, i) => [text, i]));
    this.indexes.clear();
    for (const decision of withRules) this.indexes.set(decision, positions.get(JSON.stringify(decision.l7)) ?? -1);
    this.texts = texts;
    this.rules = texts.map((text) => byText.get(text) as L7RuleSet);
    return !same;
  }

  index(decision: Decision): number {
    return this.indexes.get(decision) ?? -1;
  }

  digest(): Lanes {
    const hash = new ContentHash();
    for (const text of this.texts) hash.text(text);
    return hash.finish();
  }
}

/** References of every rule that an entry names, and their digest. */
export function referencesOf(store: RuleSetStore, sets: Iterable<RuleSet>, decisions: DecisionTable): { rules: Record<number, RuleReference>; digest: Lanes } {
  const rules: Record<number, RuleReference> = {};
  for (const set of sets) {
    for (const number of set.usedDecisions()) {
      const decision = decisions.get(number);
      const reference = typeof decision.by === 'number' ? store.reference(decision.by) : set.denyOf(decision);
      if (reference !== undefined) rules[reference.ruleId] = reference;
      for (const { ruleId } of decision.l7?.http ?? []) {
        const http = store.reference(ruleId);
        if (http !== undefined) rules[ruleId] = http;
      }
    }
  }
  const sum = new SetDigest();
  for (const reference of Object.values(rules)) sum.add(referenceDigest(reference));
  return { rules, digest: sum.lanes() };
}

const referenceDigests = new WeakMap<RuleReference, Lanes>();

function referenceDigest(reference: RuleReference): Lanes {
  let digest = referenceDigests.get(reference);
  if (digest === undefined) {
    digest = digestOfText(JSON.stringify(reference));
    referenceDigests.set(reference, digest);
  }
  return digest;
}

/** The endpoint as the datapath takes it; `known` is returned itself when nothing about it changed. */
export function endpointImage(placed: PlacedEndpoint, known: ResolvedEndpoint | undefined): ResolvedEndpoint {
  const { key, identity, egress, ingress } = placed;
  const digest = hexOf(new ContentHash().lanes(egress?.digest() ?? [0, 0, 0, 0]).lanes(ingress?.digest() ?? [0, 0, 0, 0]).finish());
  if (known !== undefined && known.digest === digest && known.identity === identity) return known;
  return { key, identity, entries: joinEntries(egress?.entries() ?? [], ingress?.entries() ?? []), digest };
}

/** Endpoints with the same two rule sets share one list. */
const joined = new WeakMap<readonly PolicyEntry[], WeakMap<readonly PolicyEntry[], readonly PolicyEntry[]>>();

function joinEntries(egress: readonly PolicyEntry[], ingress: readonly PolicyEntry[]): readonly PolicyEntry[] {
  if (ingress.length === 0) return egress;
  if (egress.length === 0) return ingress;
  const inner = joined.get(egress) ?? new WeakMap<readonly PolicyEntry[], readonly PolicyEntry[]>();
  joined.set(egress, inner);
  const known = inner.get(ingress);
  if (known !== undefined) return known;
  const both = egress.concat(ingress);
  inner.set(ingress, both);
  return both;
}

/** Digest over everything but the revisions. */
export function nodeDigest(node: Pick<ResolvedNode, 'node' | 'endpoints' | 'fqdn'>, addresses: Lanes, l7: Lanes, rules: Lanes): string {
  const endpoints = new SetDigest();
  for (const { key, identity, digest } of node.endpoints) endpoints.add(new ContentHash().text(key).int(identity).text(digest).finish());
  return hexOf(
    new ContentHash().text(node.node).lanes(endpoints.lanes()).lanes(addresses).lanes(l7).lanes(rules).text(JSON.stringify(node.fqdn)).finish(),
  );
}
