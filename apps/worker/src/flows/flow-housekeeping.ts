import { KeepFlows } from '@palisade/control';
import { clickHouseFlowKeeping, PostgresFlowKeeping, type ClickHouseAddress } from '@palisade/flow-store';
import { openPool } from '@palisade/store';
import { parseTenantId, systemContext } from '@palisade/tenancy';
import type pg from 'pg';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export interface FlowHousekeeping {
  /** Every minute: merges sums, looks for what did not land; hourly: days ahead and days past; daily: old sums. */
  run(): Promise<void>;
  close(): Promise<void>;
}

/** Connections on which the worker reads flows: replaying a candidate must not wait for housekeeping. */
export function flowConnections(databaseUrl: string): pg.Pool {
  return openPool({ url: databaseUrl, applicationName: 'palisade-worker-replay', size: 2 });
}

/**
 * Keeps the flow store in order, on a connection of its own: merging a tenant's minute may take a while.
 * @param clickHouse absent: flows are kept in PostgreSQL
 */
export async function flowHousekeeping(databaseUrl: string, tenants: () => Promise<readonly string[]>, clickHouse?: ClickHouseAddress): Promise<FlowHousekeeping> {
  const pool = openPool({ url: databaseUrl, applicationName: 'palisade-worker-flows', size: 1 });
  const store = clickHouse === undefined ? { keeping: new PostgresFlowKeeping(pool), close: () => Promise.resolve() } : await clickHouseFlowKeeping(clickHouse, pool);
  const keep = new KeepFlows({ keeping: store.keeping });
  let daysTurnedAt = 0;
  let forgottenAt = 0;
  return {
    async run() {
      if (Date.now() - daysTurnedAt > HOUR_MS) {
        await keep.turnDays();
        daysTurnedAt = Date.now();
      }
      const forget = Date.now() - forgottenAt > DAY_MS;
      for (const tenantId of await tenants()) {
        const context = systemContext(parseTenantId(tenantId), 'worker/flows');
        await keep.compact(context);
        await keep.account(context);
        if (forget) await keep.forget(context);
      }
      if (forget) forgottenAt = Date.now();
    },
    async close() {
      await store.close();
      await pool.end();
    },
  };
}
