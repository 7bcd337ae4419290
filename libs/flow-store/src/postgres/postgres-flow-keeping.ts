import type { FlowKeeping, FlowSummaryRetention } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { Pool } from 'pg';
import { COMPACT_HOURS, COMPACT_MINUTES } from './edge-statements.ts';
import { inTransaction, setTenant } from './tenant-transaction.ts';

/** Makes and removes the daily partitions, as the worker's role. */
export class PostgresFlowKeeping implements FlowKeeping {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  prepare(daysAhead: number): Promise<number> {
    return this.#count('SELECT palisade.flow_ensure_partitions(current_date, current_date + $1::integer) AS days', daysAhead);
  }

  expire(days: number): Promise<number> {
    return this.#count('SELECT palisade.flow_drop_partitions(current_date - $1::integer) AS days', days);
  }

  compact(context: TenantContext): Promise<number> {
    return inTransaction(this.#pool, 'BEGIN', async (client) => {
      await setTenant(client, context.tenantId);
      // Two workers at once would both wait for the same rows and move nothing twice; one is enough.
      const lock = await client.query<{ mine: boolean }>(`SELECT pg_try_advisory_xact_lock(hashtext('flow-compact ' || $1)) AS mine`, [context.tenantId]);
      if (lock.rows[0]?.mine !== true) return 0;
      const minutes = await client.query<{ moved: number }>(COMPACT_MINUTES);
      const hours = await client.query<{ moved: number }>(COMPACT_HOURS);
      return (minutes.rows[0]?.moved ?? 0) + (hours.rows[0]?.moved ?? 0);
    });
  }

  /** A batch is acknowledged with its rows or not at all. */
  account(): Promise<number> {
    return Promise.resolve(0);
  }

  async forget(context: TenantContext, { minuteDays, hourDays, ledgerDays }: FlowSummaryRetention): Promise<void> {
    await inTransaction(this.#pool, 'BEGIN', async (client) => {
      await setTenant(client, context.tenantId);
      await client.query('DELETE FROM palisade.flow_edge_minute WHERE bucket < now() - $1 * interval \'1 day\'', [minuteDays]);
      await client.query('DELETE FROM palisade.flow_edge_hour WHERE bucket < now() - $1 * interval \'1 day\'', [hourDays]);
      await client.query('DELETE FROM palisade.flow_batch WHERE received_at < now() - $1 * interval \'1 day\'', [ledgerDays]);
    });
  }

  async #count(sql: string, value: number): Promise<number> {
    const { rows } = await inTransaction(this.#pool, 'BEGIN', (client) => client.query<{ days: number }>(sql, [value]));
    return rows[0]?.days ?? 0;
  }
}
