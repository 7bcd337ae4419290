/** Policies × facts → entries for the local endpoints of one node, kept up to date change by change. */

import type { CidrGroupFact, ClusterFacts, FactsIncrement, NodeFact, ServiceFact, WorkloadFact } from '../facts.ts';
import { policyKey, type PolicyDocument } from '../ir.ts';
import type { PolicySet } from '../policy-set.ts';
import type { Direction, FqdnSelector, ResolvedEndpoint, ResolvedNode } from '../resolution.ts';
import { CandidateCompiler, compareText, type CandidateBlock } from './candidate-rule.ts';
import { DecisionTable } from './decision.ts';
import { fqdnEntries, fqdnSets } from './fqdn-sets.ts';
import { contentOf, nodeEndpoint, selects, workloadEndpoint, type LocalEndpoint } from './local-endpoint.ts';
import { AddressList, endpointImage, fqdnClasses, L7List, nodeDigest, referencesOf } from './node-image.ts';
import { refersToFacts, type PeerAtom } from './peer-atom.ts';
import { ClassTable, forgetRows, type PeerClass } from './peer-class.ts';
import { PeerWorld, type LearnedSet } from './peer-world.ts';
import { PortFunctionBuilder } from './port-function.ts';
import { RowKinds } from './row-kind.ts';
import type { RuleSetTools } from './rule-set.ts';
import { RuleSetStore } from './rule-set-store.ts';
import { RowCover } from './table-rows.ts';

export interface ResolveOptions {
  /** `live` (default): `enforce` decides, `observe` audits, `shadow` is left out. `all`: every mode counts as `enforce`. */
  readonly policies?: 'live' | 'all';
  /** Number to put on the result; absent: the highest revision of a policy. */
  readonly policyRevision?: number;
  /** Functions of rules kept for reuse before all are forgotten; default 50,000 (a node at full size needs some 1,200). */
  readonly rememberUpTo?: number;
  /** Only these endpoints of the node; absent: all of them. */
  readonly endpoints?: ReadonlySet<string>;
}

/** A change of more classes than this makes rule sets be computed as a whole, which shares work between classes. */
const REBUILD_FROM = 64;
const REMEMBER_UP_TO = 50_000;

const DIRECTIONS: readonly Direction[] = ['egress', 'ingress'];

/**
 * Resolves once when built, then follows changes at the cost of what they touch. After any sequence of changes
 * `resolved()` equals, digest included, what a new resolver gives for the same policies and facts.
 */
export class PolicyResolver {
  readonly node: string;
  private readonly options: ResolveOptions;
  private readonly compiler = new CandidateCompiler();
  private readonly documents = new Map<string, PolicyDocument>();
  private readonly blocks = new Map<string, readonly CandidateBlock[]>();
  private readonly workloads = new Map<string, WorkloadFact>();
  private readonly nodes = new Map<string, NodeFact>();
  private readonly services = new Map<string, ServiceFact>();
  private readonly cidrGroups = new Map<string, CidrGroupFact>();
  private readonly settings: Pick<ClusterFacts, 'clusterName' | 'hostFirewall' | 'settings'>;
  private readonly endpoints = new Map<string, LocalEndpoint>();
  private tools = this.createTools();
  private readonly classes = new ClassTable();
  private readonly classesByAtom = new Map<PeerAtom, Set<PeerClass>>();
  private readonly world: PeerWorld;
  private readonly store: RuleSetStore;
  private readonly l7 = new L7List();
  private readonly addresses = new AddressList();
  private images = new Map<string, ResolvedEndpoint>();
  private addressesChanged = true;
  private fqdnSelectors: readonly FqdnSelector[] = [];
  private learnedSets: readonly LearnedSet[] = [];
  private learnedNames: readonly (readonly string[])[] = [];
  private namesChanged = false;
  private identityRevision: number;
  private result: ResolvedNode | undefined;

  constructor(policies: PolicySet, facts: ClusterFacts, node: string, options: ResolveOptions = {}) {
    this.node = node;
    this.options = options;
    this.settings = facts;
    this.identityRevision = facts.identityRevision;
    for (const service of facts.services) this.services.set(serviceKey(service), service);
    for (const group of facts.cidrGroups) this.cidrGroups.set(group.name, group);
    this.world = new PeerWorld(node, this.classes, facts.reserved ?? []);
    this.store = new RuleSetStore(
      { clusterName: facts.clusterName, node, services: () => this.services.values(), cidrGroups: () => this.cidrGroups.values() },
      this.tools,
    );
    for (const { id, labels } of facts.identities) this.world.setIdentity(id, labels);
    for (const fact of facts.nodes) this.setNode(fact);
    for (const fact of facts.workloads) this.setWorkload(fact);
    for (const policy of policies.policies) this.setPolicy(policy);
    this.placeAll([...this.endpoints.values()]);
    this.flush();
  }

  /** Adds a policy or puts it in the place of the one with the same key. Rule ids must be unique in the set. */
  updatePolicy(policy: PolicyDocument): void {
    const key = policyKey(policy);
    const touched = this.touchedBy(this.blocks.get(key) ?? []);
    this.setPolicy(policy);
    for (const endpoint of this.touchedBy(this.blocks.get(key) ?? [])) touched.add(endpoint);
    this.placeAll([...touched]);
    this.flush();
  }

  /** `key` as `policyKey` gives it; unknown keys change nothing. */
  removePolicy(key: string): void {
    const touched = this.touchedBy(this.blocks.get(key) ?? []);
    this.blocks.delete(key);
    this.documents.delete(key);
    this.placeAll([...touched]);
    this.flush();
  }

  /** Takes over a whole set, as `createPolicySet` makes it, at the cost of the policies that differ. */
  updatePolicies(set: PolicySet): void {
    const touched = new Set<LocalEndpoint>();
    const touch = (key: string): void => this.touchedBy(this.blocks.get(key) ?? []).forEach((endpoint) => touched.add(endpoint));
    const wanted = new Map(set.policies.map((policy) => [policyKey(policy), policy]));
    for (const key of [...this.documents.keys()]) {
      if (wanted.has(key)) continue;
      touch(key);
      this.blocks.delete(key);
      this.documents.delete(key);
    }
    for (const [key, policy] of wanted) {
      const known = this.documents.get(key);
      if (known === policy || (known !== undefined && JSON.stringify(known) === JSON.stringify(policy))) continue;
      touch(key);
      this.setPolicy(policy);
      touch(key);
    }
    this.placeAll([...touched]);
    this.flush();
  }

  /** Takes one step of the identity stream. Throws `RangeError` when it does not start where the facts stand. */
  updateFacts(increment: FactsIncrement): void {
    if (increment.previousRevision !== this.identityRevision) {
      throw new RangeError(`The increment starts at identity revision ${increment.previousRevision}, the facts are at ${this.identityRevision}: fetch the facts as a whole.`);
    }
    this.identityRevision = increment.identityRevision;
    const touched = new Set<LocalEndpoint>();
    const { identities, workloads, nodes, services, cidrGroups } = increment;
    for (const id of identities.removed) this.world.setIdentity(id, undefined);
    for (const { id, labels } of identities.upserted) this.world.setIdentity(id, labels);
    const changed = new Set([...identities.removed, ...identities.upserted.map(({ id }) => id)]);
    for (const endpoint of this.endpoints.values()) {
      if (endpoint.kind === 'endpoints' && changed.has(endpoint.identity)) this.setEndpoint(this.workloads.get(endpoint.key), touched);
    }
    for (const key of workloads.removed) this.dropWorkload(key);
    for (const fact of workloads.upserted) this.setWorkload(fact, touched);
    for (const name of nodes.removed) this.dropNode(name);
    for (const fact of nodes.upserted) this.setNode(fact, touched);
    for (const key of services.removed) this.services.delete(key);
    for (const fact of services.upserted) this.services.set(serviceKey(fact), fact);
    for (const name of cidrGroups.removed) this.cidrGroups.delete(name);
    for (const fact of cidrGroups.upserted) this.cidrGroups.set(fact.name, fact);
    if (services.removed.length + services.upserted.length > 0) this.unplaceReferring('services', touched);
    if (cidrGroups.removed.length + cidrGroups.upserted.length > 0) this.unplaceReferring('cidrGroups', touched);
    this.placeAll([...touched].filter((endpoint) => this.endpoints.get(endpoint.key) === endpoint));
    this.flush();
  }

  /**
   * Names under which addresses are known at the moment, one list per address that has several: their combinations of
   * DNS selectors get classes even where the policies alone suggest too many (see `MAX_FQDN_SETS`).
   */
  setLearnedNames(names: readonly (readonly string[])[]): void {
    this.learnedNames = names;
    this.relistNames();
    this.flush();
  }

  /** The state after the last change. Endpoints that did not change are the same objects as before. */
  resolved(): ResolvedNode {
    this.result ??= this.assemble();
    return this.result;
  }

  private setPolicy(policy: PolicyDocument): void {
    const key = policyKey(policy);
    this.documents.set(key, policy);
    const takesPart = this.options.policies === 'all' || policy.mode !== 'shadow';
    this.blocks.set(key, takesPart ? this.compiler.compile(policy, this.options.policies === 'all') : []);
  }

  private setNode(fact: NodeFact, touched?: Set<LocalEndpoint>): void {
    this.dropNode(fact.name);
    this.nodes.set(fact.name, fact);
    this.world.addNode(fact);
    const wanted = this.options.endpoints?.has(`node/${fact.name}`) !== false;
    if (fact.name !== this.node || !this.settings.hostFirewall || !wanted) return;
    const endpoint = nodeEndpoint(fact, this.settings.settings);
    this.endpoints.set(endpoint.key, endpoint);
    touched?.add(endpoint);
  }

  private dropNode(name: string): void {
    const old = this.nodes.get(name);
    if (old === undefined) return;
    this.world.removeNode(old);
    this.nodes.delete(name);
    if (name === this.node) this.dropEndpoint(`node/${name}`);
  }

  private setWorkload(fact: WorkloadFact, touched?: Set<LocalEndpoint>): void {
    const old = this.workloads.get(fact.key);
    // The new claim comes first, so that an identity both use keeps its base.
    if (old === undefined) this.world.addWorkload(fact);
    else this.world.replaceWorkload(old, fact);
    this.workloads.set(fact.key, fact);
    this.setEndpoint(fact, touched);
  }

  private dropWorkload(key: string): void {
    const old = this.workloads.get(key);
    if (old === undefined) return;
    this.world.removeWorkload(old);
    this.workloads.delete(key);
    this.dropEndpoint(key);
  }

  private setEndpoint(fact: WorkloadFact | undefined, touched?: Set<LocalEndpoint>): void {
    if (fact === undefined) return;
    const wanted = this.options.endpoints?.has(fact.key) !== false;
    if (fact.node !== this.node || fact.hostNetwork === true || !wanted) return this.dropEndpoint(fact.key);
    const old = this.endpoints.get(fact.key);
    const endpoint = { ...workloadEndpoint(fact, this.world.labelsOf(fact.identity), this.settings.settings), egress: old?.egress, ingress: old?.ingress };
    this.endpoints.set(fact.key, endpoint);
    touched?.add(endpoint);
  }

  private dropEndpoint(key: string): void {
    const endpoint = this.endpoints.get(key);
    if (endpoint === undefined) return;
    this.unplace(endpoint);
    this.endpoints.delete(key);
  }

  private unplace(endpoint: LocalEndpoint): void {
    for (const direction of DIRECTIONS) {
      const set = endpoint[direction];
      endpoint[direction] = undefined;
      if (set !== undefined) this.store.release(set);
    }
  }

  /** Endpoints that hold or would hold one of the blocks. */
  private touchedBy(blocks: readonly CandidateBlock[]): Set<LocalEndpoint> {
    const touched = new Set<LocalEndpoint>();
    if (blocks.length === 0) return touched;
    for (const endpoint of this.endpoints.values()) if (blocks.some((block) => selects(block, endpoint))) touched.add(endpoint);
    return touched;
  }

  /** Peers that refer to changed facts are compiled anew: every endpoint with one is taken out and placed again. */
  private unplaceReferring(kind: 'services' | 'cidrGroups', touched: Set<LocalEndpoint>): void {
    for (const endpoint of this.endpoints.values()) {
      const refers = DIRECTIONS.some((direction) => endpoint[direction] !== undefined && this.store.hasPeer(endpoint[direction], (peer) => refersToFacts(peer) === kind));
      if (!refers) continue;
      this.unplace(endpoint);
      touched.add(endpoint);
    }
    this.applyAtoms();
  }

  private placeAll(endpoints: readonly LocalEndpoint[]): void {
    if (this.settings.settings?.enforcement === 'never' || endpoints.length === 0) return;
    const all = [...this.blocks.values()].flat();
    for (const endpoint of endpoints) {
      const blocks = all.filter((block) => selects(block, endpoint));
      for (const direction of DIRECTIONS) {
        const old = endpoint[direction];
        endpoint[direction] = this.store.use(contentOf(endpoint, direction, blocks));
        if (old !== undefined) this.store.release(old);
      }
    }
  }

  private applyAtoms(): void {
    const { added, removed, namesChanged } = this.store.takeAtomChanges();
    this.world.removeAtoms(removed);
    this.world.addAtoms(added);
    if (namesChanged) this.world.markNamed();
    for (const atom of removed) this.classesByAtom.delete(atom);
    for (const atom of added) this.classesByAtom.set(atom, new Set());
    if ([...added, ...removed].some(({ peer }) => peer.kind === 'fqdn')) this.relistNames();
  }

  private relistNames(): void {
    const entries = fqdnEntries(this.classesByAtom.keys());
    this.fqdnSelectors = entries.map(({ selector }) => selector);
    this.learnedSets = fqdnSets(this.fqdnSelectors, this.learnedNames).map((selectors) => ({
      selectors,
      atoms: selectors.flatMap((i) => entries[i]?.atoms ?? []).sort((a, b) => a.index - b.index),
    }));
    this.namesChanged = true;
  }

  private createTools(): RuleSetTools {
    const decisions = new DecisionTable();
    return { decisions, functions: new PortFunctionBuilder(decisions), cover: new RowCover(), rowKinds: new RowKinds(), functionsByRules: new Map(), l7Index: (decision) => this.l7.index(decision) };
  }

  /** What was computed for rules that are gone stays known until there is too much of it; then all is computed anew. */
  private forgetOld(): void {
    const { rowKinds, functionsByRules } = this.tools;
    const limit = this.options.rememberUpTo ?? REMEMBER_UP_TO;
    if (rowKinds.madeRows > limit * 2) {
      for (const peerClass of this.classes.values()) forgetRows(peerClass);
      rowKinds.madeRows = 0;
    }
    if (functionsByRules.size <= limit) return;
    this.tools = this.createTools();
    for (const peerClass of this.classes.values()) forgetRows(peerClass);
    const renewed = this.store.renew(this.tools);
    for (const endpoint of this.endpoints.values()) {
      for (const direction of DIRECTIONS) endpoint[direction] = endpoint[direction] === undefined ? undefined : renewed.get(endpoint[direction]);
    }
  }

  /** Carries a change through classes to rows. */
  private flush(): void {
    this.forgetOld();
    this.applyAtoms();
    if (this.namesChanged || (this.learnedSets.length > 0 && this.world.layoutChanged)) this.world.setLearnedSets(this.learnedSets);
    this.namesChanged = false;
    const { added, removed, moved } = this.world.settle(this.store.anyPeerNames);
    for (const peerClass of removed) for (const atom of peerClass.atoms) this.classesByAtom.get(atom)?.delete(peerClass);
    for (const peerClass of added) for (const atom of peerClass.atoms) this.classesByAtom.get(atom)?.add(peerClass);
    const renumbered = this.classes.renumber();
    const unbuilt = this.store.takeUnbuilt();
    const whole = added.length > REBUILD_FROM;
    for (const set of this.store.values()) {
      if (whole || unbuilt.has(set)) {
        set.rebuild(this.classes.values(), this.classes.slotCount, (atom) => this.classesByAtom.get(atom) ?? []);
        continue;
      }
      for (const peerClass of [...removed, ...renumbered]) set.removeClass(peerClass);
      for (const peerClass of new Set([...added, ...renumbered])) set.addClass(peerClass);
    }
    this.addressesChanged ||= moved || renumbered.length > 0 || this.world.layoutChanged;
    this.result = undefined;
  }

  private assemble(): ResolvedNode {
    const sets = [...this.store.values()];
    if (this.l7.update(sets, this.tools.decisions)) for (const set of sets) set.reindexL7();
    for (const set of sets) set.finish();
    if (this.addressesChanged) this.addresses.update(this.world);
    this.addressesChanged = false;
    const images = new Map<string, ResolvedEndpoint>();
    for (const endpoint of [...this.endpoints.values()].sort((a, b) => compareText(a.key, b.key))) {
      images.set(endpoint.key, endpointImage(endpoint, this.images.get(endpoint.key)));
    }
    this.images = images;
    const references = referencesOf(this.store, sets, this.tools.decisions);
    const body = { node: this.node, endpoints: [...images.values()], addresses: this.addresses.addresses, fqdn: { selectors: this.fqdnSelectors, classes: fqdnClasses(this.world) }, l7Rules: this.l7.rules, rules: references.rules };
    return {
      ...body,
      policyRevision: this.options.policyRevision ?? [...this.documents.values()].reduce((max, { revision }) => Math.max(max, revision), 0),
      identityRevision: this.identityRevision,
      digest: nodeDigest(body, this.addresses.digest, this.l7.digest(), references.digest),
    };
  }
}

function serviceKey({ namespace, name }: ServiceFact): string {
  return `${namespace}/${name}`;
}
