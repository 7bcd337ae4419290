import type { AgentDesk, NodeOrders } from '@palisade/control';
import type { CheckInRequest } from '@palisade/protocol';
import { admitted } from '../admission/node-admission.ts';
import type { CertifiedNode } from '../tls/node-of-request.ts';
import { CheckInBatcher } from './check-in-batcher.ts';
import { CheckInAnswers } from './check-in-answer.ts';
import { checkInRecord } from './check-in-message.ts';
import { ClusterNews, type NewsOfCluster } from './cluster-news.ts';
import { HeldCheckIns, type Held } from './held-check-ins.ts';
import { ordersToken } from './orders-token.ts';

const ORDERS_CHUNK = 1_000;
/** A restarted gateway meets its fleet over this window (trust-and-fleet §4): U(0, 120 s) for ten thousand nodes. */
const RECONNECT_MS_PER_NODE = 12;
const RECONNECT_LIMIT_MS = 120_000;
const RECONNECT_LEAST_MS = 1_000;
/** Wake-ups of a burst are answered together. */
const GATHER_MS = 10;
/** Written in one go; then other connections get their turn. */
const PUSH_SLICE_MS = 50;

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
  readonly #answers = new CheckInAnswers();
  #pushing: Promise<void> = Promise.resolve();
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
    const news = await this.#news.of(node.tenantId, node.clusterId, [orders]);
    const token = ordersToken(orders, news.state);
    const holdMs = Math.min(message.holdMs, this.#holdLimitMs, node.notAfterMs - Date.now());
    if (token !== message.ackToken || holdMs <= 0 || this.#closing) {
      reply.send(this.#answer(orders, news));
      return undefined;
    }
    const held: Held = { nodeId: node.nodeId, token, deadlineMs: Date.now() + holdMs, answer: (read, readNews) => this.#answerAgain(node, orders, reply, read, readNews) };
    this.#held.hold(node.tenantId, node.clusterId, held);
    return () => void this.#held.release(node.clusterId, held);
  }

  /** Resolves when no push is under way: downloads wait for it, so that the last node hears of a wave before the first one fetches it. */
  pushed(): Promise<void> {
    return this.#pushing;
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
    for (const [clusterId, tenantId] of clusters) {
      this.#pushing = this.#review(tenantId, clusterId).catch(() => undefined);
      await this.#pushing;
    }
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
    const read = (from: number) => this.#desk.orders(tenantId, waiting.slice(from, from + ORDERS_CHUNK).map((held) => held.nodeId));
    let ahead = waiting.length > 0 ? read(0) : undefined;
    for (let from = 0; ahead !== undefined; from += ORDERS_CHUNK) {
      const orders = await ahead;
      // The next thousand are read while this one is answered.
      ahead = from + ORDERS_CHUNK < waiting.length ? read(from + ORDERS_CHUNK) : undefined;
      ahead?.catch(() => undefined);
      const news = await this.#news.of(tenantId, clusterId, orders.values());
      await this.#push(clusterId, waiting.slice(from, from + ORDERS_CHUNK), orders, news);
    }
  }

  async #push(clusterId: string, waiting: readonly Held[], orders: ReadonlyMap<string, NodeOrders>, news: NewsOfCluster): Promise<void> {
    let sliceMs = performance.now();
    for (const held of waiting) {
      const next = orders.get(held.nodeId);
      const same = next !== undefined && next.nodeState === 'active' && ordersToken(next, news.state) === held.token;
      if (!same && this.#held.release(clusterId, held)) held.answer(next, news);
      if (performance.now() - sliceMs < PUSH_SLICE_MS) continue;
      await new Promise((resolve) => setImmediate(resolve));
      sliceMs = performance.now();
    }
  }

  /** Of a held check-in: with orders that were just read, or else they are read now, for its time is over. */
  #answerAgain(node: CertifiedNode, former: NodeOrders, reply: CheckInReply, read: NodeOrders | undefined, news: NewsOfCluster | undefined): void {
    try {
      if (read !== undefined && news !== undefined) return reply.send(this.#answer(admitted(read), news));
    } catch (error) {
      return reply.fail(error);
    }
    const fresh = this.#closing ? Promise.resolve(former) : this.#fresh(node).then((orders) => orders.get(node.nodeId));
    fresh
      .then(async (orders) => reply.send(this.#answer(admitted(orders), await this.#news.of(node.tenantId, node.clusterId, orders === undefined ? [] : [orders]))))
      .catch((error: unknown) => reply.fail(error));
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

  #answer(orders: NodeOrders, { state, assignments }: NewsOfCluster): Uint8Array {
    const { desired } = orders;
    const token = ordersToken(orders, state);
    const assignment = desired === null ? undefined : assignments.get(desired.assignmentId);
    return this.#answers.encode({ token, desired, assignment, ...state, reconnectWindowMs: this.#reconnectWindowMs() }, Date.now());
  }

  /** In whole seconds, so that what many are told is the same bytes. */
  #reconnectWindowMs(): number {
    return Math.min(RECONNECT_LIMIT_MS, Math.max(RECONNECT_LEAST_MS, Math.ceil((this.#connections * RECONNECT_MS_PER_NODE) / 1_000) * 1_000));
  }
}
