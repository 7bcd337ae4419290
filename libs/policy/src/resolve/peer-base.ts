/** Groups of addresses that every peer by labels or kind treats alike. */

import type { End } from '../evaluate/ends.ts';
import { RESERVED_IDENTITY, type Labels, type NodeFact, type ReservedFact } from '../facts.ts';
import type { IpFamily } from '../ip-address.ts';
import { CLUSTER_KEY, LabelView } from '../labels.ts';
import type { PeerAtom } from './peer-atom.ts';

/** What a base is; changes when its labels do. */
export interface PeerNature {
  /** As the evaluator sees it, without addresses. */
  readonly end: End;
  /** Labels as the resolved node sees them (a node shows different ones to itself and to others). */
  readonly seen: LabelView;
  readonly labels: Labels;
  /** Name of the cluster it says it is of. */
  readonly cluster: string | undefined;
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
  /** Row in the label columns. */
  slot: number;
  uses: number;
}

type EndKind = Pick<End, 'kind' | 'kubeApiserver'> & Partial<Pick<End, 'reserved' | 'node' | 'families' | 'nodeLabels'>>;

function natureOf(kind: EndKind, labels: Labels, identity: number, ownNode = false): PeerNature {
  const seen = new LabelView(labels);
  return { end: { addresses: [], families: [], names: [], policyAuditMode: false, ...kind, labels: seen }, seen, labels, cluster: seen.get(`k8s:${CLUSTER_KEY}`), identity, ownNode };
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
  const labels: Labels = { 'reserved:world': '', [`reserved:world-ipv${family}`]: '', ...(kubeApiserver ? { 'reserved:kube-apiserver': '' } : {}) };
  const identity = kubeApiserver ? RESERVED_IDENTITY['kube-apiserver'] : RESERVED_IDENTITY.world;
  return natureOf({ kind: 'outside', kubeApiserver, families: [family] }, labels, identity);
}

