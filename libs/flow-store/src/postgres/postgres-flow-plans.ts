import type { FlowPlan, FlowPlanSource } from '@palisade/control';
import type { TenantId } from '@palisade/tenancy';
import type { Pool } from 'pg';
import { inTransaction, setTenant } from './tenant-transaction.ts';

interface PlanRow {
  readonly flows_per_second: number | null;
  readonly bytes_per_day: string | null;
  readonly flow_days: number | null;
}

/** Reads a tenant's plan with the role of the api, the worker or ingest. */
export class PostgresFlowPlans implements FlowPlanSource {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  of(tenantId: TenantId): Promise<FlowPlan> {
    return inTransaction(this.#pool, 'BEGIN READ ONLY', async (client) => {
      await setTenant(client, tenantId);
      const { rows } = await client.query<PlanRow>('SELECT flows_per_second, bytes_per_day, flow_days FROM palisade.flow_plan');
      const [row] = rows;
      if (row === undefined) return {};
      return {
        ...(row.flows_per_second === null ? {} : { flowsPerSecond: row.flows_per_second }),
        ...(row.bytes_per_day === null ? {} : { bytesPerDay: Number(row.bytes_per_day) }),
        ...(row.flow_days === null ? {} : { flowDays: row.flow_days }),
      };
    });
  }
}
