import type { AgentDesk, CheckInRecord, NodeOrders } from '@palisade/control';
import { DomainError } from '@palisade/errors';

const BATCH = 200;
/** Batches under way at once: fewer than the connections of the pool, so that downloads always find one. */
const CONCURRENT = 4;

interface Waiting {
  readonly tenantId: string;
  readonly record: CheckInRecord;
  readonly resolve: (orders: NodeOrders | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Stores check-ins in batches, one transaction a tenant and batch: ten thousand nodes that come back after a restart
 * cost some hundred transactions, not ten thousand. More than the limit at once are refused with a time to come back.
 */
export class CheckInBatcher {
  readonly #desk: AgentDesk;
  readonly #limit: number;
  readonly #queues = new Map<string, Waiting[]>();
  #waiting = 0;
  #active = 0;
  #pauses = 0;

  constructor(desk: AgentDesk, limit: number) {
    this.#desk = desk;
    this.#limit = limit;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Holds batches back while something more urgent is sent; what arrives waits. Pauses nest. */
  pause(): void {
    this.#pauses += 1;
  }

  resume(): void {
    this.#pauses -= 1;
    this.#pump();
  }

  /** @throws DomainError `service.unavailable` when too many wait already */
  submit(tenantId: string, record: CheckInRecord): Promise<NodeOrders | undefined> {
    if (this.#waiting >= this.#limit) {
      throw new DomainError('service.unavailable', 'The gateway takes no more check-ins at the moment.', { params: { retryAfterSeconds: 2 + Math.floor(Math.random() * 8) } });
    }
    this.#waiting += 1;
    return new Promise((resolve, reject) => {
      const queue = this.#queues.get(tenantId) ?? [];
      queue.push({ tenantId, record, resolve, reject });
      this.#queues.set(tenantId, queue);
      // What arrives in the same turn of the event loop shares a batch.
      if (queue.length === 1) setImmediate(() => this.#pump());
    });
  }

  #pump(): void {
    while (this.#active < CONCURRENT && this.#pauses === 0) {
      const next = this.#queues.entries().next();
      if (next.done === true) return;
      const [tenantId, queue] = next.value;
      const batch = takeBatch(queue);
      // Tenants take turns: what is left goes to the end of the line.
      this.#queues.delete(tenantId);
      if (queue.length > 0) this.#queues.set(tenantId, queue);
      this.#active += 1;
      void this.#store(tenantId, batch);
    }
  }

  async #store(tenantId: string, batch: readonly Waiting[]): Promise<void> {
    try {
      const orders = await this.#desk.checkIn(tenantId, batch.map(({ record }) => record));
      for (const { record, resolve } of batch) resolve(orders.get(record.nodeId));
    } catch (cause) {
      const error = new DomainError('service.unavailable', 'The check-in could not be stored. Come back in a moment.', { params: { retryAfterSeconds: 1 + Math.floor(Math.random() * 4) }, cause });
      for (const { reject } of batch) reject(error);
    } finally {
      this.#waiting -= batch.length;
      this.#active -= 1;
      this.#pump();
    }
  }
}

/** A node occurs once in a batch: one statement cannot update a row twice. */
function takeBatch(queue: Waiting[]): Waiting[] {
  const batch: Waiting[] = [];
  const nodes = new Set<string>();
  while (queue.length > 0 && batch.length < BATCH && !nodes.has(queue[0]!.record.nodeId)) {
    const waiting = queue.shift()!;
    nodes.add(waiting.record.nodeId);
    batch.push(waiting);
  }
  return batch;
}
