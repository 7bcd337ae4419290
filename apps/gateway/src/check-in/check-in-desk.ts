import type { AgentDesk, NodeOrders } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import type { CheckInRequest } from '@palisade/protocol';
import type { CertifiedNode } from '../tls/node-of-request.ts';
import { CheckInBatcher } from './check-in-batcher.ts';
import { checkInRecord, encodeCheckInAnswer } from './check-in-message.ts';
import { ClusterNews } from './cluster-news.ts';
import { HeldCheckIns, type Held } from './held-check-ins.ts';
import { ordersToken } from './orders-token.ts';

const ORDERS_CHUNK = 1_000;
/** A restarted gateway meets its fleet over this window (trust-and-fleet §4): U(0, 120 s) for ten thousand nodes. */
const RECONNECT_MS_PER_NODE = 12;
const RECONNECT_LIMIT_MS = 120_000;
const RECONNECT_LEAST_MS = 1_000;
/** Wake-ups of a burst are answered together. */
const GATHER_MS = 10;

/** Where an answer goes. */
export interface CheckInReply {
  send(body: Uint8Array): void;
  fail(error: unknown): void;
}

/** Takes check-ins, holds those of nodes that know everything, and answers them when there is news. */
export class CheckInDesk {
  readonly #desk: AgentDesk;
  readonly #batcher: CheckInBatcher;
  readonly #held = new HeldCheckIns();
  readonly #news: ClusterNews;
  readonly #holdLimitMs: number;
  readonly #stirred = new Map<string, string>();
  #gathering: NodeJS.Timeout | undefined;
  #closing = false;
  #connections = 0;

  constructor(options: { readonly desk: AgentDesk; readonly checkInLimit: number; readonly holdLimitMs: number }) {
    this.#desk = options.desk;
    this.#batcher = new CheckInBatcher(options.desk, options.checkInLimit);
    this.#news = new ClusterNews(options.desk);
    this.#holdLimitMs = options.holdLimitMs;
  }

  figures(): { readonly held: number; readonly waiting: number } {
    return { held: this.#held.size, waiting: this.#batcher.waiting };
  }

  /**
   * Stores what the node says, then answers at once or holds.
   * @returns what to call when the node gives up; undefined when it was answered
   * @throws DomainError `auth.unauthenticated`, `auth.forbidden`, `service.unavailable`
   */
  async take(node: CertifiedNode, message: CheckInRequest, reply: CheckInReply): Promise<(() => void) | undefined> {
    const orders = admitted(await this.#batcher.submit(node.tenantId, checkInRecord(node, message)));
    const token = await this.#tokenOf(node, orders);
    const holdMs = Math.min(message.holdMs, this.#holdLimitMs, node.notAfterMs - Date.now());
    if (token !== message.ackToken || holdMs <= 0 || this.#closing) {
      reply.send(await this.#answer(node, orders));
      return undefined;
    }
    const held: Held = { nodeId: node.nodeId, token, deadlineMs: Date.now() + holdMs, answer: (read) => this.#answerAgain(node, orders, read, reply) };
    this.#held.hold(node.tenantId, node.clusterId, held);
    return () => void this.#held.release(node.clusterId, held);
  }

  /** How many agents are connected: what the window for reconnecting is scaled by. */
  sizeOfFleet(connections: number): void {
    this.#connections = connections;
  }

  /** Something changed for nodes of this cluster; the nodes that wait are asked about again. */
  stir(tenantId: string, clusterId: string): void {
    this.#news.forget(clusterId);
    this.#stirred.set(clusterId, tenantId);
    this.#gathering ??= setTimeout(() => void this.#gather(), GATHER_MS);
  }

  /** Looks at every cluster that has waiting nodes: what a lost wake-up would have said. */
  stirAll(): void {
    for (const { tenantId, clusterId } of this.#held.clusters()) this.stir(tenantId, clusterId);
  }

  close(): void {
    this.#closing = true;
    clearTimeout(this.#gathering);
    this.#held.close();
  }

  async #gather(): Promise<void> {
    const clusters = [...this.#stirred];
    this.#stirred.clear();
    this.#gathering = undefined;
    for (const [clusterId, tenantId] of clusters) await this.#review(tenantId, clusterId).catch(() => undefined);
  }

  async #review(tenantId: string, clusterId: string): Promise<void> {
    const waiting = this.#held.nodes(clusterId);
    // Nodes that were answered come back at once; those that wait for the same news go first.
    this.#batcher.pause();
    try {
      await this.#answerChanged(tenantId, clusterId, waiting);
    } finally {
      this.#batcher.resume();
    }
  }

  async #answerChanged(tenantId: string, clusterId: string, waiting: readonly Held[]): Promise<void> {
    for (let from = 0; from < waiting.length; from += ORDERS_CHUNK) {
      const chunk = waiting.slice(from, from + ORDERS_CHUNK);
      const orders = await this.#desk.orders(tenantId, chunk.map((held) => held.nodeId));
      const state = await this.#news.state(tenantId, clusterId);
      for (const held of chunk) {
        const next = orders.get(held.nodeId);
        const same = next !== undefined && next.nodeState === 'active' && ordersToken(next, state) === held.token;
        if (!same && this.#held.release(clusterId, held)) held.answer(next);
      }
      // Writing a thousand answers takes some time; others get their turn in between.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Of a held check-in: with orders that were just read, or else they are read now, for its time is over. */
  #answerAgain(node: CertifiedNode, former: NodeOrders, read: NodeOrders | undefined, reply: CheckInReply): void {
    const now = this.#closing ? former : read;
    const fresh = now === undefined ? this.#fresh(node).then((orders) => orders.get(node.nodeId)) : Promise.resolve(now);
    fresh.then(async (orders) => reply.send(await this.#answer(node, admitted(orders)))).catch((error: unknown) => reply.fail(error));
  }

  readonly #asked = new Map<string, { readonly nodes: Set<string>; readonly orders: Promise<ReadonlyMap<string, NodeOrders>> }>();

  /** Nodes of a cluster that are answered in the same turn share one query. */
  #fresh(node: CertifiedNode): Promise<ReadonlyMap<string, NodeOrders>> {
    const open = this.#asked.get(node.clusterId);
    if (open !== undefined && open.nodes.size < ORDERS_CHUNK) {
      open.nodes.add(node.nodeId);
      return open.orders;
    }
    const nodes = new Set([node.nodeId]);
    const orders = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      if (this.#asked.get(node.clusterId)?.nodes === nodes) this.#asked.delete(node.clusterId);
      return this.#desk.orders(node.tenantId, [...nodes]);
    });
    this.#asked.set(node.clusterId, { nodes, orders });
    return orders;
  }

  async #tokenOf(node: CertifiedNode, orders: NodeOrders): Promise<string> {
    return ordersToken(orders, await this.#news.state(node.tenantId, node.clusterId));
  }

  async #answer(node: CertifiedNode, orders: NodeOrders): Promise<Uint8Array> {
    const { desired } = orders;
    const [state, assignment] = await Promise.all([
      this.#news.state(node.tenantId, node.clusterId),
      desired === null ? undefined : this.#news.assignment(node.tenantId, desired.assignmentId),
    ]);
    const token = ordersToken(orders, state);
    const reconnectWindowMs = Math.min(RECONNECT_LIMIT_MS, Math.max(RECONNECT_LEAST_MS, this.#connections * RECONNECT_MS_PER_NODE));
    return encodeCheckInAnswer({ token, desired, assignment, ...state, reconnectWindowMs }, Date.now());
  }
}

/** Revocation is looked at on every check-in, not only when the connection was made. */
function admitted(orders: NodeOrders | undefined): NodeOrders {
  if (orders === undefined) throw new DomainError('auth.unauthenticated', 'This node is not enrolled any more. What its kernel enforces stays in force.');
  if (orders.nodeState !== 'active') throw new DomainError('auth.forbidden', `This node is ${orders.nodeState}. What its kernel enforces stays in force.`);
  return orders;
}
