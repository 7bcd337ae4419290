import type { TenantContext } from '@palisade/tenancy';
import type { FlowKeeping, FlowSummaryRetention } from './flow-store.ts';

export interface FlowRetention extends FlowSummaryRetention {
  /** Single flows. */
  readonly flowDays: number;
}

export const DEFAULT_FLOW_RETENTION: FlowRetention = { flowDays: 7, minuteDays: 14, hourDays: 400, ledgerDays: 10 };

const DAYS_AHEAD = 7;

/** The store's housekeeping; the worker calls it. Every part may run at any time, on any number of workers. */
export class KeepFlows {
  readonly #keeping: FlowKeeping;
  readonly #retention: FlowRetention;

  constructor(ports: { readonly keeping: FlowKeeping; readonly retention?: FlowRetention }) {
    this.#keeping = ports.keeping;
    this.#retention = ports.retention ?? DEFAULT_FLOW_RETENTION;
  }

  /** For the whole installation, hourly: room for the days ahead, and days past their time removed. */
  async turnDays(): Promise<{ readonly added: number; readonly removed: number }> {
    const added = await this.#keeping.prepare(DAYS_AHEAD);
    return { added, removed: await this.#keeping.expire(this.#retention.flowDays) };
  }

  /** For one tenant, every minute: merges finished sums. @returns how many parts were merged */
  compact(context: TenantContext): Promise<number> {
    return this.#keeping.compact(context);
  }

  /** For one tenant, every minute: see `FlowKeeping.account`. */
  account(context: TenantContext): Promise<number> {
    return this.#keeping.account(context);
  }

  /** For one tenant, daily: removes sums and ledger rows past their time. */
  forget(context: TenantContext): Promise<void> {
    return this.#keeping.forget(context, this.#retention);
  }
}
