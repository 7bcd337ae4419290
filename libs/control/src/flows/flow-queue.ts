import type { SentFlowBatch } from './flow-store.ts';

export interface FlowQueueLimits {
  /** Rows that may wait in all. */
  readonly queueRows: number;
  /** Rows of one tenant that may wait while others wait too. */
  readonly tenantRows: number;
}

/** A batch without rows still occupies memory and a ledger row. */
function cost({ batch }: SentFlowBatch): number {
  return batch.columns.rows + 10;
}

/** Batches waiting for a commit: bounded, and tenants take turns. */
export class FlowQueue<Waiting extends SentFlowBatch> {
  readonly #limits: FlowQueueLimits;
  readonly #byTenant = new Map<string, { batches: Waiting[]; rows: number }>();
  #rows = 0;

  constructor(limits: FlowQueueLimits) {
    this.#limits = limits;
  }

  /** Rows that wait now (every batch counts a few more than it has). */
  get rows(): number {
    return this.#rows;
  }

  /** @returns false when there is no room */
  offer(waiting: Waiting): boolean {
    const rows = cost(waiting);
    const { tenantId } = waiting.sender;
    const own = this.#byTenant.get(tenantId);
    if (this.#rows + rows > this.#limits.queueRows || (own?.rows ?? 0) + rows > this.#limits.tenantRows) return false;
    if (own === undefined) this.#byTenant.set(tenantId, { batches: [waiting], rows });
    else {
      own.batches.push(waiting);
      own.rows += rows;
    }
    this.#rows += rows;
    return true;
  }

  /** Takes batches of up to `limit` rows, one tenant after the other; at least one when any waits. */
  take(limit: number): Waiting[] {
    const taken: Waiting[] = [];
    let rows = 0;
    while (this.#byTenant.size > 0) {
      for (const [tenantId, own] of this.#byTenant) {
        const next = own.batches[0];
        if (next === undefined) { this.#byTenant.delete(tenantId); continue; }
        if (taken.length > 0 && rows + cost(next) > limit) return taken;
        own.batches.shift();
        own.rows -= cost(next);
        rows += cost(next);
        this.#rows -= cost(next);
        taken.push(next);
        // Last in turn from now on.
        this.#byTenant.delete(tenantId);
        if (own.batches.length > 0) this.#byTenant.set(tenantId, own);
        break;
      }
    }
    return taken;
  }
}
