import type { FlowKeeping } from '@palisade/control';
import type { Pool } from 'pg';
import { inTransaction } from './tenant-transaction.ts';

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

  async #count(sql: string, value: number): Promise<number> {
    const { rows } = await inTransaction(this.#pool, 'BEGIN', (client) => client.query<{ days: number }>(sql, [value]));
    return rows[0]?.days ?? 0;
  }
}
