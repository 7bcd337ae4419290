/** Groups of addresses that every peer by labels or kind treats alike, and an index of them by label. */

import type { End } from '../evaluate/ends.ts';
import { RESERVED_IDENTITY, type Labels, type NodeFact, type ReservedFact } from '../facts.ts';
import type { LabelSelector } from '../ir.ts';
import type { IpFamily } from '../ip-address.ts';
import { LabelView, withSource } from '../labels.ts';
import type { PeerAtom } from './peer-atom.ts';

/** What a base is; changes when its labels do. */
export interface PeerNature {
  /** As the evaluator sees it, without addresses. */
  readonly end: End;
  /** Labels as the resolved node sees them (a node shows different ones to itself and to others). */
  readonly seen: LabelView;
  readonly labels: Labels;
  /** The number flows report. */
  readonly identity: number;
  /** It is the resolved node itself. */
  readonly ownNode: boolean;
}

/** One identity, node, reserved entity, or the outside of one address family. */
export interface PeerBase {
  readonly key: string;
  nature: PeerNature;
  /** Atoms that match by labels or kind. */
  readonly atoms: Set<PeerAtom>;
  uses: number;
}

type EndKind = Pick<End, 'kind' | 'kubeApiserver'> & Partial<Pick<End, 'reserved' | 'node' | 'families' | 'nodeLabels'>>;

function natureOf(kind: EndKind, labels: Labels, identity: number, ownNode = false): PeerNature {
  const seen = new LabelView(labels);
  return { end: { addresses: [], families: [], names: [], policyAuditMode: false, ...kind, labels: seen }, seen, labels, identity, ownNode };
}

/** Workloads of one identity; `kubeApiserver`: those that hold an address of the API server (rule 41). */
export function identityNature(id: number, labels: Labels, kubeApiserver: boolean): PeerNature {
  const nature = natureOf({ kind: 'workload', kubeApiserver }, labels, id);
  const init = id === RESERVED_IDENTITY.init || nature.seen.has('reserved:init', undefined);
  return init ? { ...nature, end: { ...nature.end, reserved: 'init' } } : nature;
}

export function nodeNature(fact: NodeFact, kubeApiserver: boolean, ownNode: boolean): PeerNature {
  const labels: Labels = { [ownNode ? 'reserved:host' : 'reserved:remote-node']: '', ...(kubeApiserver ? { 'reserved:kube-apiserver': '' } : {}) };
  const identity = ownNode ? RESERVED_IDENTITY.host : kubeApiserver ? RESERVED_IDENTITY['kube-apiserver'] : RESERVED_IDENTITY['remote-node'];
  return natureOf({ kind: 'node', kubeApiserver, node: fact.name, nodeLabels: new LabelView(fact.labels) }, labels, identity, ownNode);
}

export function reservedNature(entity: Exclude<ReservedFact['entity'], 'kube-apiserver'>): PeerNature {
  return natureOf({ kind: 'reserved', kubeApiserver: false, reserved: entity }, { [`reserved:${entity}`]: '' }, RESERVED_IDENTITY[entity]);
}

/** Both families report the identity `world`, as Hubble does on clusters that do not split it. */
export function outsideNature(family: IpFamily, kubeApiserver: boolean): PeerNature {
  const labels: Labels = { 'reserved:world': '', [`reserved:world-ipv${family}`]: '' };
  const identity = kubeApiserver ? RESERVED_IDENTITY['kube-apiserver'] : RESERVED_IDENTITY.world;
  return natureOf({ kind: 'outside', kubeApiserver, families: [family] }, labels, identity);
}

/** Bases by label, so that a selector is only compared with those that carry one of its labels. */
export class LabelPostings {
  private readonly all = new Set<PeerBase>();
  private readonly byLabel = new Map<string, Set<PeerBase>>();

  add(base: PeerBase): void {
    this.all.add(base);
    for (const posting of postingsOf(base)) {
      const list = this.byLabel.get(posting);
      if (list === undefined) this.byLabel.set(posting, new Set([base]));
      else list.add(base);
    }
  }

  remove(base: PeerBase): void {
    this.all.delete(base);
    for (const posting of postingsOf(base)) {
      const list = this.byLabel.get(posting);
      list?.delete(base);
      if (list?.size === 0) this.byLabel.delete(posting);
    }
  }

  /** A superset of the bases the selector matches: those of its rarest requirement that needs a label. */
  candidates(selector: LabelSelector | undefined): Iterable<PeerBase> {
    let best: ReadonlySet<PeerBase>[] | undefined;
    let bestSize = this.all.size;
    for (const { key, operator, values } of selector?.requirements ?? []) {
      if (operator !== 'in' && operator !== 'exists') continue;
      const sourced = withSource(key);
      const postings = operator === 'exists' ? [sourced] : [...new Set(values)].map((value) => pairOf(sourced, value));
      const lists = postings.map((posting) => this.byLabel.get(posting)).filter((list) => list !== undefined);
      const size = lists.reduce((sum, list) => sum + list.size, 0);
      if (size >= bestSize) continue;
      best = lists;
      bestSize = size;
    }
    return best === undefined ? this.all : new Set(best.flatMap((list) => [...list]));
  }
}

/** Each label by key and by pair, with its source and with the source `any`. */
function* postingsOf({ nature: { labels } }: PeerBase): Iterable<string> {
  for (const [given, value] of Object.entries(labels)) {
    const key = withSource(given);
    const any = `any:${key.slice(key.indexOf(':') + 1)}`;
    yield key;
    yield any;
    yield pairOf(key, value);
    yield pairOf(any, value);
  }
}

function pairOf(key: string, value: string): string {
  return `${key}\n${value}`;
}
