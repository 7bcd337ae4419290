/** Everybody an endpoint of the resolved node can talk to: addresses, who holds them, and the policy class each falls into. */

import { RESERVED_IDENTITY, type Labels, type NodeFact, type ReservedFact, type WorkloadFact } from '../facts.ts';
import { prefixContains, type IpPrefix } from '../ip-address.ts';
import { claimOf, createHolder, type Holder } from './address-holder.ts';
import { LabelColumns } from './label-columns.ts';
import { identityNature, nodeNature, outsideNature, reservedNature, type PeerBase, type PeerNature } from './peer-base.ts';
import type { ClassContent, ClassTable, PeerClass } from './peer-class.ts';
import type { PeerAtom } from './peer-atom.ts';
import { namesKey, portNamesOf, type PortName } from './port-names.ts';
import { PrefixIndex } from './prefix-index.ts';

const DEFAULT_NETWORK = 'default';
/** From so many new prefixes on, every address is looked at again instead of those under each prefix. */
const REGROUP_ALL_FROM = 8;

/** Addresses of one base, under one deepest prefix, with the same named ports: always of one class. */
export interface PeerEnd {
  readonly key: string;
  readonly base: PeerBase;
  readonly prefix: IpPrefix;
  readonly names: readonly PortName[];
  /** Of addresses learned by DNS: the end they would be of otherwise, and the selectors they hold. */
  readonly learned?: LearnedSet & { readonly from: PeerEnd };
  uses: number;
  /** Undefined until settled, and again once nobody uses the end. */
  peerClass?: PeerClass | undefined;
}

/** Selectors by index, and the peers that say the same. */
export interface LearnedSet {
  readonly selectors: readonly number[];
  readonly atoms: readonly PeerAtom[];
}

/** What a settled change did to the classes. */
export interface ClassChanges {
  readonly added: readonly PeerClass[];
  readonly removed: readonly PeerClass[];
  /** Some address or prefix now has another class. */
  readonly moved: boolean;
}

/** The peers of one node. Changes mark ends; `settle` gives the marked ones their classes. */
export class PeerWorld {
  readonly holders = new Map<string, Holder>();
  readonly networks = new Map<string, number>();
  /** All prefixes of policies; the addresses outside are told apart by them. */
  readonly outsidePrefixes = new PrefixIndex();
  /** Ends of outside prefixes by the prefix' canonical text. */
  readonly outside = new Map<string, PeerEnd>();
  /** Addresses or outside prefixes came or went since somebody set it to false. */
  layoutChanged = true;

  /** Prefixes that also hold workloads and nodes. */
  private readonly podPrefixes = new PrefixIndex();
  private readonly node: string;
  private readonly classes: ClassTable;
  private readonly bases = new Map<string, PeerBase>();
  private readonly ends = new Map<string, PeerEnd>();
  private readonly endsByBase = new Map<PeerBase, Set<PeerEnd>>();
  private readonly labels = new LabelColumns();
  private readonly learned = new Map<string, PeerEnd>();
  private readonly atoms = new Set<PeerAtom>();
  private readonly marked = new Set<PeerEnd>();
  private readonly apiserverAddresses = new Set<string>();
  private readonly identityLabels = new Map<number, Labels>();

  /** `reserved` does not change: a kube-apiserver's address colours whoever holds it (rule 41). */
  constructor(node: string, classes: ClassTable, reserved: readonly ReservedFact[]) {
    this.node = node;
    this.classes = classes;
    this.useOutside([...this.outsidePrefixes.all()].map(({ prefix }) => prefix));
    for (const { entity, addresses } of reserved) {
      if (entity === 'kube-apiserver') for (const text of addresses) this.apiserverAddresses.add(text);
    }
    this.useNetwork(DEFAULT_NETWORK);
    for (const { entity, addresses, network } of reserved) {
      if (entity === 'kube-apiserver') continue;
      this.useNetwork(network);
      const base = this.useBase(`reserved/${entity}`, () => reservedNature(entity));
      for (const text of addresses) this.claim(network, text, (holder) => (holder.reserved = base));
    }
  }

  labelsOf(identity: number): Labels {
    return this.identityLabels.get(identity) ?? (identity === RESERVED_IDENTITY.init ? { 'reserved:init': '' } : {});
  }

  /** Gives an identity its labels; undefined: forgets it. */
  setIdentity(id: number, labels: Labels | undefined): void {
    if (labels === undefined) this.identityLabels.delete(id);
    else this.identityLabels.set(id, labels);
    for (const kubeApiserver of [false, true]) {
      const base = this.bases.get(identityKey(id, kubeApiserver));
      if (base !== undefined) this.changeNature(base, identityNature(id, this.labelsOf(id), kubeApiserver));
    }
  }

  addNode(fact: NodeFact): void {
    const base = this.useBase(`node/${fact.name}`, () => nodeNature(fact, this.holdsApiserver(fact.addresses), fact.name === this.node));
    for (const text of fact.addresses) this.claim(DEFAULT_NETWORK, text, (holder) => (holder.node = base));
  }

  removeNode(fact: NodeFact): void {
    const base = this.bases.get(`node/${fact.name}`);
    if (base === undefined) return;
    for (const text of fact.addresses) this.claim(DEFAULT_NETWORK, text, (holder) => (holder.node = holder.node === base ? undefined : holder.node));
    this.releaseBase(base);
  }

  addWorkload(fact: WorkloadFact): void {
    if (fact.hostNetwork === true) return;
    this.useNetwork(fact.network);
    const kubeApiserver = this.holdsApiserver(fact.addresses);
    const base = this.useBase(identityKey(fact.identity, kubeApiserver), () => identityNature(fact.identity, this.labelsOf(fact.identity), kubeApiserver));
    const names = portNamesOf(fact);
    for (const text of fact.addresses) this.claim(fact.network, text, ({ workloads }) => workloads.set(fact.key, { base, names }));
  }

  removeWorkload(fact: WorkloadFact, allAddresses: readonly string[] = fact.addresses): void {
    if (fact.hostNetwork === true) return;
    for (const text of fact.addresses) this.claim(fact.network, text, ({ workloads }) => workloads.delete(fact.key));
    const base = this.bases.get(identityKey(fact.identity, this.holdsApiserver(allAddresses)));
    if (base !== undefined) this.releaseBase(base);
    this.releaseNetwork(fact.network);
  }

  /** The new claims come first, so that a base and a network that both use stay. */
  replaceWorkload(old: WorkloadFact, fresh: WorkloadFact): void {
    this.addWorkload(fresh);
    const kept = fresh.hostNetwork !== true && fresh.network === old.network ? fresh.addresses : [];
    this.removeWorkload({ ...old, addresses: old.addresses.filter((address) => !kept.includes(address)) }, old.addresses);
  }

  /** Enters peers that local rules now name. */
  addAtoms(atoms: readonly PeerAtom[]): void {
    const touched = new Set<PeerBase>();
    const podPrefixes: IpPrefix[] = [];
    const outsidePrefixes: IpPrefix[] = [];
    for (const atom of atoms) {
      this.atoms.add(atom);
      const test = atom.matchesBeyondLabels ?? atom.matchesBase;
      for (const base of test === undefined ? [] : this.labels.matching(atom.narrow)) {
        if (test?.(base) !== true) continue;
        base.atoms.add(atom);
        touched.add(base);
      }
      if (atom.networks.length === 0) continue;
      outsidePrefixes.push(...this.outsidePrefixes.add(atom));
      if (atom.matchesPods) podPrefixes.push(...this.podPrefixes.add(atom));
    }
    for (const base of touched) this.markBase(base);
    this.useOutside(outsidePrefixes);
    this.regroup(podPrefixes, outsidePrefixes);
    this.markCovered(atoms);
  }

  /** Takes out peers that no local rule names any more. */
  removeAtoms(atoms: readonly PeerAtom[]): void {
    this.markCovered(atoms);
    const touched = new Set<PeerBase>();
    const podPrefixes: IpPrefix[] = [];
    const outsidePrefixes: IpPrefix[] = [];
    for (const atom of atoms) {
      this.atoms.delete(atom);
      for (const base of atom.matchesBase === undefined ? [] : this.labels.matching(atom.narrow)) if (base.atoms.delete(atom)) touched.add(base);
      if (atom.networks.length === 0) continue;
      outsidePrefixes.push(...this.outsidePrefixes.remove(atom));
      if (atom.matchesPods) podPrefixes.push(...this.podPrefixes.remove(atom));
    }
    for (const base of touched) this.markBase(base);
    this.releaseOutside(outsidePrefixes);
    this.regroup(podPrefixes, outsidePrefixes);
  }

  /** The port names that rules ask of destinations changed: ends that name ports may split or merge. */
  markNamed(): void {
    for (const end of this.ends.values()) if (end.names.length > 0) this.marked.add(end);
  }

  /** DNS selectors that addresses may hold together: every outside end gets one more for each of the sets. */
  setLearnedSets(sets: readonly LearnedSet[]): void {
    const wanted = new Map<string, PeerEnd>();
    for (const from of this.ends.values()) {
      if (sets.length === 0 || from.learned !== undefined || from.base.nature.end.kind !== 'outside') continue;
      for (const { selectors, atoms } of sets) {
        const key = `${from.key}|fqdn ${atoms.map(({ index }) => index).join()}`;
        wanted.set(key, { key, base: from.base, prefix: from.prefix, names: [], learned: { from, selectors, atoms }, uses: 0 });
      }
    }
    for (const [key, end] of this.learned) {
      const kept = wanted.get(key);
      this.learned.delete(key);
      if (kept === undefined || kept.learned?.from !== end.learned?.from) this.releaseEnd(end);
      // The same selectors may have other indexes now; the class does not depend on them.
      else wanted.set(key, Object.assign(end, { learned: kept.learned }));
    }
    for (const [key, end] of wanted) this.learned.set(key, end.uses > 0 ? end : this.useEnd(end));
  }

  /** Ends of learned addresses, settled. */
  learnedEnds(): Iterable<PeerEnd> {
    return this.learned.values();
  }

  /** Gives every marked end its class. `anyPeerNames`: port names that egress rules ask of any peer. */
  settle(anyPeerNames: ReadonlyMap<string, number>): ClassChanges {
    const added = new Set<PeerClass>();
    const removed = new Set<PeerClass>();
    let moved = false;
    for (const end of this.marked) {
      const old = end.peerClass;
      end.peerClass = end.uses > 0 ? this.classes.use(this.contentOf(end, anyPeerNames)) : undefined;
      if (end.peerClass?.uses === 1 && end.peerClass !== old) added.add(end.peerClass);
      if (old !== end.peerClass) moved = true;
      if (old !== undefined && this.classes.release(old) && !added.delete(old)) removed.add(old);
    }
    this.marked.clear();
    return { added: [...added], removed: [...removed], moved };
  }

  private contentOf(end: PeerEnd, anyPeerNames: ReadonlyMap<string, number>): ClassContent {
    const atoms = [...this.atomsOf(end), ...(end.learned?.atoms ?? [])].sort((a, b) => a.index - b.index);
    const asked = (name: string): boolean => anyPeerNames.has(name) || atoms.some(({ portNames }) => portNames.has(name));
    const names = end.names.length === 0 ? end.names : end.names.filter(({ name }) => asked(name));
    return { atoms, names, ownNode: end.base.nature.ownNode };
  }

  private atomsOf(end: PeerEnd): Iterable<PeerAtom> {
    const index = this.indexFor(end.base);
    const covering = index.covering(index.node(end.prefix));
    return covering.length === 0 ? end.base.atoms : new Set([...end.base.atoms, ...covering]);
  }

  private indexFor(base: PeerBase): PrefixIndex {
    return base.nature.end.kind === 'outside' ? this.outsidePrefixes : this.podPrefixes;
  }

  private holdsApiserver(addresses: readonly string[]): boolean {
    return addresses.some((address) => this.apiserverAddresses.has(address));
  }

  private useBase(key: string, nature: () => PeerNature): PeerBase {
    const known = this.bases.get(key);
    if (known !== undefined) {
      known.uses++;
      return known;
    }
    const base: PeerBase = { key, nature: nature(), atoms: new Set(), slot: -1, uses: 1 };
    this.bases.set(key, base);
    this.endsByBase.set(base, new Set());
    this.labels.add(base);
    this.matchAtoms(base);
    return base;
  }

  private changeNature(base: PeerBase, nature: PeerNature): void {
    this.labels.remove(base);
    base.nature = nature;
    this.labels.add(base);
    base.atoms.clear();
    this.matchAtoms(base);
    this.markBase(base);
  }

  private matchAtoms(base: PeerBase): void {
    for (const atom of this.atoms) if (atom.matchesBase?.(base) === true) base.atoms.add(atom);
  }

  private releaseBase(base: PeerBase): void {
    if (--base.uses > 0) return;
    this.bases.delete(base.key);
    this.endsByBase.delete(base);
    this.labels.remove(base);
  }

  private markBase(base: PeerBase): void {
    for (const end of this.endsByBase.get(base) ?? []) this.marked.add(end);
  }

  /** Ends whose deepest prefix lies in a network of one of the atoms. */
  private markCovered(atoms: readonly PeerAtom[]): void {
    const withNetworks = atoms.filter(({ networks }) => networks.length > 0);
    if (withNetworks.length === 0) return;
    for (const end of this.ends.values()) {
      const outside = end.base.nature.end.kind === 'outside';
      if (withNetworks.some(({ matchesPods, networks }) => (outside || matchesPods) && networks.some((network) => prefixContains(network, end.prefix)))) this.marked.add(end);
    }
  }

  /** Records a change of claims on an address. */
  private claim(network: string, text: string, change: (holder: Holder) => void): void {
    const key = `${network}|${text}`;
    const known = this.holders.get(key);
    const holder = known ?? createHolder(network, text);
    if (holder === undefined) return;
    change(holder);
    this.placeHolder(holder);
    if (holder.end === undefined) this.holders.delete(key);
    else if (known === undefined) this.holders.set(key, holder);
    if ((known === undefined) !== (holder.end === undefined)) this.layoutChanged = true;
  }

  /** Puts an address into the end that its claims and its deepest prefix say. */
  private placeHolder(holder: Holder): void {
    const claim = claimOf(holder);
    const old = holder.end;
    if (claim === undefined) {
      holder.end = undefined;
    } else {
      const { prefix, text } = this.indexFor(claim.base).deepest(holder.address);
      const key = `${claim.base.key}|${text}|${namesKey(claim.names)}`;
      if (old?.key === key && old.base === claim.base) return;
      holder.end = this.useEnd({ key, base: claim.base, prefix, names: claim.names, uses: 0 });
      this.layoutChanged = true;
    }
    if (old !== undefined) this.releaseEnd(old);
  }

  private useEnd(wanted: PeerEnd): PeerEnd {
    let end = this.ends.get(wanted.key);
    if (end === undefined) {
      end = wanted;
      this.ends.set(end.key, end);
      this.endsByBase.get(end.base)?.add(end);
      this.marked.add(end);
    }
    end.uses++;
    return end;
  }

  private releaseEnd(end: PeerEnd): void {
    if (--end.uses > 0) return;
    this.ends.delete(end.key);
    this.endsByBase.get(end.base)?.delete(end);
    this.marked.add(end);
  }

  /** Addresses under new or gone prefixes may have another deepest prefix now. */
  private regroup(podPrefixes: readonly IpPrefix[], outsidePrefixes: readonly IpPrefix[]): void {
    const hasOutside = this.apiserverAddresses.size > 0 && outsidePrefixes.length > 0;
    if (podPrefixes.length === 0 && !hasOutside) return;
    const all = podPrefixes.length >= REGROUP_ALL_FROM;
    for (const holder of this.holders.values()) {
      const affected = all || (hasOutside && holder.apiserver !== undefined) || podPrefixes.some((prefix) => prefixContains(prefix, holder.address));
      if (affected) this.placeHolder(holder);
    }
  }

  private useOutside(prefixes: readonly IpPrefix[]): void {
    for (const prefix of prefixes) {
      const { text } = this.outsidePrefixes.node(prefix);
      const base = this.useBase(`outside/${prefix.family}`, () => outsideNature(prefix.family, false));
      this.outside.set(text, this.useEnd({ key: `${base.key}|${text}|`, base, prefix, names: [], uses: 0 }));
      this.layoutChanged = true;
    }
  }

  private releaseOutside(prefixes: readonly IpPrefix[]): void {
    const gone = new Set(prefixes.map((prefix) => `${prefix.words.join('.')}/${prefix.length}`));
    if (gone.size === 0) return;
    for (const [text, end] of this.outside) {
      if (!gone.has(`${end.prefix.words.join('.')}/${end.prefix.length}`)) continue;
      this.outside.delete(text);
      this.releaseEnd(end);
      this.releaseBase(end.base);
      this.layoutChanged = true;
    }
  }

  private useNetwork(network: string): void {
    const uses = this.networks.get(network) ?? 0;
    this.networks.set(network, uses + 1);
    if (uses > 0) return;
    this.layoutChanged = true;
    for (const text of this.apiserverAddresses) {
      const family = text.includes(':') ? 6 : 4;
      const base = this.useBase(`outside-apiserver/${family}`, () => outsideNature(family, true));
      this.claim(network, text, (holder) => (holder.apiserver = base));
    }
  }

  private releaseNetwork(network: string): void {
    const uses = (this.networks.get(network) ?? 1) - 1;
    this.networks.set(network, uses);
    if (uses > 0) return;
    this.networks.delete(network);
    this.layoutChanged = true;
    for (const text of this.apiserverAddresses) this.claim(network, text, (holder) => (holder.apiserver = undefined));
  }
}

function identityKey(id: number, kubeApiserver: boolean): string {
  return kubeApiserver ? `identity/${id}/kube-apiserver` : `identity/${id}`;
}
