import type { TenantContext } from '@palisade/tenancy';
import type { Pool } from 'pg';
import type { ClickHouseSession } from '../clickhouse/clickhouse-session.ts';
import { SchemaWords, type ClickHouseLayout } from '../clickhouse/schema/engines.ts';
import { TenantQuestion } from '../clickhouse/tenant-question.ts';
import { inTransaction, setTenant } from '../postgres/tenant-transaction.ts';
import { HISTORY_WRITER } from './history-chunks.ts';

/** Sums over a day's flows, as text: they may be beyond 2^53. */
export interface DaySums {
  readonly flows: string;
  readonly packets: string;
  readonly bytes: string;
  readonly reply_bytes: string;
  readonly weight: string;
}

/** A UTC day (`20261125`) on which the stores differ. */
export interface DayDifference {
  readonly day: string;
  readonly postgres: DaySums;
  readonly clickHouse: DaySums;
}

export interface HistoryComparison {
  /** Days that both had to have. */
  readonly days: number;
  readonly flows: bigint;
  readonly differences: readonly DayDifference[];
}

type DayRow = DaySums & { readonly day: string };

const NOTHING: DaySums = { flows: '0', packets: '0', bytes: '0', reply_bytes: '0', weight: '0' };
const FIELDS = Object.keys(NOTHING) as (keyof DaySums)[];

/** Compares what both stores say about each day, apart from how it was copied. */
export class HistoryCheck {
  readonly #pool: Pool;
  readonly #session: ClickHouseSession;
  readonly #words: SchemaWords;

  constructor(ports: { readonly pool: Pool; readonly session: ClickHouseSession; readonly layout: ClickHouseLayout }) {
    this.#pool = ports.pool;
    this.#session = ports.session;
    this.#words = new SchemaWords(ports.layout);
  }

  /**
   * @param end flows that were committed from here on were not to be copied
   * @param sinceUs days before are past their retention: either store may have removed them
   */
  async compare(context: TenantContext, end: string, sinceUs: number): Promise<HistoryComparison> {
    const [there, here] = await Promise.all([this.#postgres(context, end, sinceUs), this.#clickHouse(context, sinceUs)]);
    const days = [...new Set([...there.keys(), ...here.keys()])].toSorted();
    const differences = days.flatMap((day): DayDifference[] => {
      const [postgres, clickHouse] = [there.get(day) ?? NOTHING, here.get(day) ?? NOTHING];
      return FIELDS.every((field) => BigInt(postgres[field]) === BigInt(clickHouse[field])) ? [] : [{ day, postgres, clickHouse }];
    });
    return { days: days.length, flows: [...there.values()].reduce((sum, { flows }) => sum + BigInt(flows), 0n), differences };
  }

  #postgres(context: TenantContext, end: string, sinceUs: number): Promise<Map<string, DaySums>> {
    return inTransaction(this.#pool, 'BEGIN READ ONLY', async (client) => {
      await setTenant(client, context.tenantId);
      const { rows } = await client.query<DayRow>(
        `SELECT to_char(f.last_seen AT TIME ZONE 'UTC', 'YYYYMMDD') AS day, count(*)::text AS flows, sum(f.packets)::text AS packets, sum(f.bytes)::text AS bytes,
            coalesce(sum(f.reply_bytes), 0)::text AS reply_bytes, sum(coalesce(f.weight, 1))::text AS weight
          FROM palisade.flow f
          WHERE f.last_seen >= timestamptz 'epoch' + $2::bigint * interval '1 microsecond'
            AND NOT EXISTS (SELECT 1 FROM palisade.flow_batch b WHERE b.batch_id = f.batch_id AND b.commit_order >= $1::bigint)
          GROUP BY day`,
        [end, sinceUs],
      );
      return byDay(rows);
    });
  }

  async #clickHouse(context: TenantContext, sinceUs: number): Promise<Map<string, DaySums>> {
    const question = new TenantQuestion(this.#session, this.#words, context);
    const from = question.from('flow', [
      `last_seen_us >= ${question.add('UInt64', sinceUs)}`,
      question.within('batch_id', 'batch_id', 'flow_batch', [`writer = '${HISTORY_WRITER}'`]),
    ]);
    const rows = await question.rows<DayRow>(
      `SELECT toString(toYYYYMMDD(toDateTime(intDiv(last_seen_us, 1000000), 'UTC'))) AS day, count() AS flows, sum(packets) AS packets, sum(bytes) AS bytes,
        sum(reply_bytes) AS reply_bytes, sum(weight) AS weight ${from} GROUP BY day`,
    );
    return byDay(rows);
  }
}

function byDay(rows: readonly DayRow[]): Map<string, DaySums> {
  return new Map(rows.map(({ day, ...sums }) => [day, sums]));
}
