import type { AgentDesk, NodeOrders } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import type { CertifiedNode } from '../tls/node-of-request.ts';

/** For this long a node is not looked at again, unless a wake-up says that the state of one was changed. */
const REMEMBERED_MS = 5_000;
/** After so many answers all are forgotten, those of nodes that went away with them: a bound on memory. */
const REMEMBERED_ANSWERS = 50_000;

/**
 * Revocation and suspension are looked at with every request, not only when the connection was made.
 * @throws DomainError `auth.unauthenticated`, `auth.forbidden`
 */
export function admitted(orders: NodeOrders | undefined): NodeOrders {
  if (orders === undefined) throw new DomainError('auth.unauthenticated', 'This node is not enrolled any more. What its kernel enforces stays in force.');
  if (orders.nodeState === 'suspended') throw new DomainError('auth.forbidden', 'The tenant of this node is suspended. What its kernel enforces stays in force.');
  if (orders.nodeState !== 'active') throw new DomainError('auth.forbidden', `This node is ${orders.nodeState}. What its kernel enforces stays in force.`);
  return orders;
}

interface Remembered {
  /** Without what the node is to run: proofs are large. */
  readonly orders: NodeOrders | undefined;
  readonly untilMs: number;
}

interface Question {
  readonly nodes: Set<string>;
  readonly orders: Promise<ReadonlyMap<string, NodeOrders>>;
}

/**
 * Who may download and send flows. A certificate says who a node is for a day; this says whether it still belongs here.
 * Refusals are remembered, too: a node that is refused and asks all the time costs no query each time.
 */
export class NodeAdmission {
  readonly #desk: Pick<AgentDesk, 'orders'>;
  readonly #nowMs: () => number;
  readonly #known = new Map<string, Map<string, Remembered>>();
  readonly #open = new Map<string, Question>();
  #answers = 0;

  constructor(desk: Pick<AgentDesk, 'orders'>, nowMs: () => number = Date.now) {
    this.#desk = desk;
    this.#nowMs = nowMs;
  }

  /**
   * A node that was revoked is refused as soon as the wake-up arrives, and five seconds later when that was lost.
   * @throws DomainError `auth.unauthenticated`, `auth.forbidden`
   */
  async admit({ tenantId, nodeId }: Pick<CertifiedNode, 'tenantId' | 'nodeId'>): Promise<void> {
    const known = this.#nodesOf(tenantId);
    const askedMs = this.#nowMs();
    const remembered = known.get(nodeId);
    if (remembered !== undefined && remembered.untilMs > askedMs) return void admitted(remembered.orders);
    const orders = (await this.#ask(tenantId, nodeId)).get(nodeId);
    // Where a wake-up came meanwhile nobody looks into this map any more: the answer may be older than the wake-up.
    known.set(nodeId, { orders: orders && { nodeState: orders.nodeState, desired: null }, untilMs: askedMs + REMEMBERED_MS });
    this.#answers += 1;
    if (this.#answers >= REMEMBERED_ANSWERS) this.forgetAll();
    admitted(orders);
  }

  /** The state of a node of this tenant was changed. */
  forget(tenantId: string): void {
    this.#known.delete(tenantId);
  }

  /** Wake-ups may have been missed. */
  forgetAll(): void {
    this.#known.clear();
    this.#answers = 0;
  }

  #nodesOf(tenantId: string): Map<string, Remembered> {
    const known = this.#known.get(tenantId) ?? new Map<string, Remembered>();
    this.#known.set(tenantId, known);
    return known;
  }

  /** Nodes of a tenant that ask in the same turn of the event loop share one query. */
  #ask(tenantId: string, nodeId: string): Promise<ReadonlyMap<string, NodeOrders>> {
    const open = this.#open.get(tenantId);
    if (open !== undefined) {
      open.nodes.add(nodeId);
      return open.orders;
    }
    const nodes = new Set([nodeId]);
    const orders = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
      this.#open.delete(tenantId);
      return this.#desk.orders(tenantId, [...nodes]);
    });
    this.#open.set(tenantId, { nodes, orders });
    return orders;
  }
}
