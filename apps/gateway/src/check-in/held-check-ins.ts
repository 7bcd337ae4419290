import type { NodeOrders } from '@palisade/control';
import type { NewsOfCluster } from './cluster-news.ts';

/** A check-in that waits for news. */
export interface Held {
  readonly nodeId: string;
  /** What the node knows already. */
  readonly token: string;
  /** Unix ms. */
  readonly deadlineMs: number;
  /** Answers it; at most once, by whoever takes it out of here. With the node's orders and the news where they have just been read. */
  readonly answer: (orders?: NodeOrders, news?: NewsOfCluster) => void;
}

/** Held check-ins by cluster. One sweep a second ends those whose time is over, instead of a timer each. */
export class HeldCheckIns {
  readonly #byCluster = new Map<string, { readonly tenantId: string; readonly nodes: Map<string, Held> }>();
  readonly #sweep: NodeJS.Timeout;
  #size = 0;

  constructor() {
    this.#sweep = setInterval(() => this.#expire(Date.now()), 1_000);
    this.#sweep.unref();
  }

  get size(): number {
    return this.#size;
  }

  clusters(): readonly { readonly tenantId: string; readonly clusterId: string }[] {
    return [...this.#byCluster].map(([clusterId, { tenantId }]) => ({ tenantId, clusterId }));
  }

  nodes(clusterId: string): readonly Held[] {
    return [...(this.#byCluster.get(clusterId)?.nodes.values() ?? [])];
  }

  /** A node waits once: a check-in that it held before is answered. */
  hold(tenantId: string, clusterId: string, held: Held): void {
    const cluster = this.#byCluster.get(clusterId) ?? { tenantId, nodes: new Map<string, Held>() };
    this.#byCluster.set(clusterId, cluster);
    const before = cluster.nodes.get(held.nodeId);
    cluster.nodes.set(held.nodeId, held);
    if (before === undefined) this.#size += 1;
    else before.answer();
  }

  /** False when it is not held any more: somebody else answers it. */
  release(clusterId: string, held: Held): boolean {
    const cluster = this.#byCluster.get(clusterId);
    if (cluster?.nodes.get(held.nodeId) !== held) return false;
    cluster.nodes.delete(held.nodeId);
    if (cluster.nodes.size === 0) this.#byCluster.delete(clusterId);
    this.#size -= 1;
    return true;
  }

  /** Answers everything, for the process stops. */
  close(): void {
    clearInterval(this.#sweep);
    this.#expire(Number.POSITIVE_INFINITY);
  }

  #expire(nowMs: number): void {
    for (const [clusterId, { nodes }] of [...this.#byCluster]) {
      for (const held of [...nodes.values()]) if (held.deadlineMs <= nowMs && this.release(clusterId, held)) held.answer();
    }
  }
}
