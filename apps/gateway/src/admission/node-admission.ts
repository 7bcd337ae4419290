import type { AgentDesk, NodeOrders } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import type { CertifiedNode } from '../tls/node-of-request.ts';

/** For this long a node that was admitted is not looked at again. */
const ADMITTED_MS = 5_000;
const MAX_REMEMBERED = 50_000;

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

interface Question {
  readonly nodes: Set<string>;
  readonly orders: Promise<ReadonlyMap<string, NodeOrders>>;
}

/** Who may download and send flows. A certificate says who a node is for a day; this says whether it still belongs here. */
export class NodeAdmission {
  readonly #desk: Pick<AgentDesk, 'orders'>;
  readonly #nowMs: () => number;
  readonly #until = new Map<string, number>();
  readonly #open = new Map<string, Question>();

  constructor(desk: Pick<AgentDesk, 'orders'>, nowMs: () => number = Date.now) {
    this.#desk = desk;
    this.#nowMs = nowMs;
  }

  /**
   * A node that was revoked is refused five seconds later at the latest.
   * @throws DomainError `auth.unauthenticated`, `auth.forbidden`
   */
  async admit({ tenantId, nodeId }: Pick<CertifiedNode, 'tenantId' | 'nodeId'>): Promise<void> {
    if ((this.#until.get(nodeId) ?? 0) > this.#nowMs()) return;
    this.#until.delete(nodeId);
    admitted((await this.#ask(tenantId, nodeId)).get(nodeId));
    if (this.#until.size >= MAX_REMEMBERED) this.#until.clear();
    this.#until.set(nodeId, this.#nowMs() + ADMITTED_MS);
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
