import type { FlowKeeping, FlowSummaryRetention } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { Pool } from 'pg';
import { inTransaction, setTenant } from '../postgres/tenant-transaction.ts';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { applySchema } from './schema/apply-schema.ts';
import { checkServerVersion } from './server-version.ts';
import { SchemaWords, type ClickHouseLayout } from './schema/engines.ts';
import { UnlandedBatches } from './unlanded-batches.ts';

const DAY_MS = 86_400_000;

/** Brings the schema up to date and removes what is past its time; the worker does it. */
export class ClickHouseFlowKeeping implements FlowKeeping {
  readonly #session: ClickHouseSession;
  readonly #words: SchemaWords;
  readonly #ledger: Pool;
  readonly #unlanded: UnlandedBatches;

  /** @param ledger PostgreSQL as the worker: the ledger of batches lives there */
  constructor(session: ClickHouseSession, layout: ClickHouseLayout, ledger: Pool) {
    this.#session = session;
    this.#words = new SchemaWords(layout);
    this.#ledger = ledger;
    this.#unlanded = new UnlandedBatches({ session, layout, ledger });
  }

  /** Days need no room made for them; what is made is the schema, where it is missing or old. */
  async prepare(): Promise<number> {
    await checkServerVersion(this.#session);
    await applySchema(this.#session, this.#words.layout);
    return 0;
  }

  expire(days: number): Promise<number> {
    return this.#dropPartitions('flow', dayNumber(Date.now() - days * DAY_MS));
  }

  /** ClickHouse merges by itself. */
  compact(): Promise<number> {
    return Promise.resolve(0);
  }

  account(context: TenantContext): Promise<number> {
    return this.#unlanded.find(context);
  }

  async forget(context: TenantContext, { minuteDays, hourDays, ledgerDays }: FlowSummaryRetention): Promise<void> {
    const before = (days: number): number => Math.floor((Date.now() - days * DAY_MS) / 1000);
    for (const kind of ['edge', 'http']) {
      await this.#forget(context, `flow_${kind}_minute`, `bucket < toDateTime(${before(minuteDays)}, 'UTC')`);
      await this.#forget(context, `flow_${kind}_hour`, `bucket < toDateTime(${before(hourDays)}, 'UTC')`);
    }
    await this.#forget(context, 'flow_batch', `sealed_us < ${before(ledgerDays) * 1_000_000}`);
    await this.#forget(context, 'flow_unlanded', `found_us < ${before(ledgerDays) * 1_000_000}`);
    // The rows that mark segments belong to nobody: they go by whole days, when every tenant's are past their time.
    await this.#dropPartitions('flow_batch', dayNumber(Date.now() - (ledgerDays + 1) * DAY_MS));
    await inTransaction(this.#ledger, 'BEGIN', async (client) => {
      await setTenant(client, context.tenantId);
      await client.query(`DELETE FROM palisade.flow_batch WHERE received_at < now() - $1 * interval '1 day'`, [ledgerDays]);
    });
  }

  /** A mutation rewrites parts: only where there is something to remove. */
  async #forget({ tenantId }: TenantContext, table: string, old: string): Promise<void> {
    const own = `tenant_id = toUUID('${tenantId}') AND ${old}`;
    const found = await this.#session.rows(`SELECT 1 FROM ${this.#words.all(table)} WHERE ${own} LIMIT 1`, {});
    if (found.length > 0) await this.#session.execute(`ALTER TABLE ${this.#words.everywhere(table)} DELETE WHERE ${own}`);
  }

  /** @returns how many days were removed */
  async #dropPartitions(table: string, before: number): Promise<number> {
    const { database, cluster } = this.#words.layout;
    const parts = cluster === undefined ? 'system.parts' : `cluster('${cluster}', system, parts)`;
    const rows = await this.#session.rows<{ partition: string }>(
      `SELECT DISTINCT partition FROM ${parts} WHERE database = {database:String} AND table = {table:String} AND active = 1 AND toUInt32OrZero(partition) < {before:UInt64} ORDER BY partition`,
      { database, table, before },
    );
    for (const { partition } of rows) await this.#session.execute(`ALTER TABLE ${this.#words.everywhere(table)} DROP PARTITION ${Number(partition)}`);
    return rows.length;
  }
}

/** The UTC day as `toYYYYMMDD` numbers it. */
function dayNumber(ms: number): number {
  return Number(new Date(ms).toISOString().slice(0, 10).replaceAll('-', ''));
}
