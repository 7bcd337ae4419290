import type { Pool } from 'pg';
import { inTransaction } from './tenant-transaction.ts';

const REFRESH_MS = 60_000;
const DAYS_AHEAD = 3;
const DAY_MS = 86_400_000;

/** The days that have a partition, as days since the Unix epoch. Read again every minute, and after a failure. */
export class PartitionDays {
  readonly #pool: Pool;
  #days: ReadonlySet<number> = new Set();
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async known(): Promise<ReadonlySet<number>> {
    const now = Date.now();
    if (now - this.#readAt < REFRESH_MS) return this.#days;
    this.#days = await inTransaction(this.#pool, 'BEGIN', async (client) => {
      const read = async (): Promise<Set<number>> => {
        const { rows } = await client.query<{ day: number }>(`SELECT d - date '1970-01-01' AS day FROM palisade.flow_partition_days() d`);
        return new Set(rows.map((row) => row.day));
      };
      const days = await read();
      if (days.has(Math.floor(now / DAY_MS) + 1)) return days;
      // The worker makes days ahead; should it be down for long, flows must not be lost for that.
      await client.query('SELECT palisade.flow_ensure_partitions(current_date, current_date + $1::integer)', [DAYS_AHEAD]);
      return read();
    });
    this.#readAt = now;
    return this.#days;
  }

  forget(): void {
    this.#readAt = Number.NEGATIVE_INFINITY;
  }
}
