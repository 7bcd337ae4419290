import type { AgentDesk, NodeOrders } from '@palisade/control';

const STALE_MS = 10_000;

/** What every node of a cluster is told beside its own orders. */
export interface ClusterState {
  readonly identityRevision: number;
  /** Newest root metadata. */
  readonly rootVersion: number;
  /** Newest epoch that the root authority opened. */
  readonly epoch: number;
}

/** What answers to nodes of one cluster have in common. */
export interface NewsOfCluster {
  readonly state: ClusterState;
  /** Envelopes by id; without one, a node is not told of its generation yet. */
  readonly assignments: ReadonlyMap<string, Uint8Array>;
}

/** How far each cluster's identity stream is and which root is newest: read once, then kept fresh by wake-ups and age. */
export class ClusterNews {
  readonly #desk: AgentDesk;
  readonly #revisions = new Map<string, { readonly value: Promise<number>; readonly readAtMs: number }>();
  readonly #epochs = new Map<string, { readonly value: Promise<number>; readonly readAtMs: number }>();
  readonly #assignments = new Map<string, Promise<Uint8Array | undefined>>();
  #root: { readonly value: Promise<number>; readonly readAtMs: number } | undefined;

  constructor(desk: AgentDesk) {
    this.#desk = desk;
  }

  /** @param orders of the nodes that are to be answered */
  async of(tenantId: string, clusterId: string, orders: Iterable<NodeOrders>): Promise<NewsOfCluster> {
    const ids = new Set([...orders].flatMap(({ desired }) => (desired === null ? [] : [desired.assignmentId])));
    const [state, ...found] = await Promise.all([
      this.#state(tenantId, clusterId),
      ...[...ids].map(async (id) => [id, await this.#assignment(tenantId, id)] as const),
    ]);
    return { state, assignments: new Map(found.flatMap(([id, envelope]) => (envelope === undefined ? [] : [[id, envelope] as const]))) };
  }

  async #state(tenantId: string, clusterId: string): Promise<ClusterState> {
    const [identityRevision, rootVersion, epoch] = await Promise.all([this.#identityRevision(tenantId, clusterId), this.#rootVersion(), this.#epoch(tenantId, clusterId)]);
    return { identityRevision, rootVersion, epoch };
  }

  #identityRevision(tenantId: string, clusterId: string): Promise<number> {
    return remembered(this.#revisions, clusterId, () => this.#desk.identityRevision(tenantId, clusterId));
  }

  #epoch(tenantId: string, clusterId: string): Promise<number> {
    return remembered(this.#epochs, clusterId, () => this.#desk.epoch(tenantId, clusterId));
  }

  forget(clusterId: string): void {
    this.#revisions.delete(clusterId);
    this.#epochs.delete(clusterId);
  }

  #rootVersion(): Promise<number> {
    if (this.#root !== undefined && Date.now() - this.#root.readAtMs < STALE_MS) return this.#root.value;
    const value = this.#desk.metadata('root', null).then((file) => file?.version ?? 0);
    this.#root = { value, readAtMs: Date.now() };
    value.catch(() => (this.#root = undefined));
    return value;
  }

  /** Envelopes never change; the newest few are what everybody asks for. */
  #assignment(tenantId: string, id: string): Promise<Uint8Array | undefined> {
    const known = this.#assignments.get(id);
    if (known !== undefined) return known;
    const value = this.#desk.assignment(tenantId, id);
    this.#assignments.set(id, value);
    value.then((found) => found === undefined && this.#assignments.delete(id), () => this.#assignments.delete(id));
    if (this.#assignments.size > 256) this.#assignments.delete(this.#assignments.keys().next().value!);
    return value;
  }
}

function remembered(known: Map<string, { readonly value: Promise<number>; readonly readAtMs: number }>, key: string, read: () => Promise<number>): Promise<number> {
  const found = known.get(key);
  if (found !== undefined && Date.now() - found.readAtMs < STALE_MS) return found.value;
  const value = read();
  known.set(key, { value, readAtMs: Date.now() });
  value.catch(() => known.delete(key));
  return value;
}
