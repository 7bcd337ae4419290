import type { TenantContext } from '@palisade/tenancy';
import type { ClickHouseSession, ParameterValue } from './clickhouse-session.ts';
import type { DictionaryTable } from './schema/dictionary-tables.ts';
import type { SchemaWords } from './schema/engines.ts';
import type { EdgeBucket } from './schema/flow-tables.ts';

export type TenantTable = DictionaryTable | 'flow' | 'flow_batch' | 'flow_copy' | 'flow_unlanded' | `flow_edge_${EdgeBucket}` | `flow_http_${EdgeBucket}`;
type ParameterType = 'UInt8' | 'UInt64' | 'Int64' | 'String' | 'Array(UInt8)' | 'Array(UInt16)' | 'Array(UInt64)' | 'Array(String)';

/**
 * A question about one tenant. The only way to name a table is `from`, which adds the tenant's condition; the only way to
 * name a value is `add`. A statement that names a table in another way is refused before it is sent.
 */
export class TenantQuestion {
  readonly #session: ClickHouseSession;
  readonly #words: SchemaWords;
  readonly #values: Record<string, ParameterValue>;
  readonly #tables: string[] = [];

  constructor(session: ClickHouseSession, words: SchemaWords, context: TenantContext) {
    this.#session = session;
    this.#words = words;
    this.#values = { tenant: context.tenantId };
  }

  /** The placeholder of a value. */
  add(type: ParameterType, value: ParameterValue): string {
    const name = `p${Object.keys(this.#values).length}`;
    this.#values[name] = value;
    return `{${name}:${type}}`;
  }

  /** `FROM table WHERE` the tenant's rows that meet the conditions. */
  from(table: TenantTable, conditions: readonly string[] = []): string {
    const place = this.#words.all(table);
    this.#tables.push(place);
    return `FROM ${place} WHERE ${['tenant_id = {tenant:UUID}', ...conditions.map((condition) => `(${condition})`)].join(' AND ')}`;
  }

  /** `column IN` what another table of the tenant says. */
  within(column: string, select: string, table: TenantTable, conditions: readonly string[]): string {
    return `${column} ${this.#words.isIn} (SELECT ${select} ${this.from(table, conditions)})`;
  }

  get isIn(): string {
    return this.#words.isIn;
  }

  /** Adds to each row at most one of another table. */
  get joins(): string {
    return `${this.#words.layout.cluster === undefined ? '' : 'GLOBAL '}ANY LEFT JOIN`;
  }

  async rows<Row>(sql: string): Promise<readonly Row[]> {
    this.#check(sql);
    return this.#session.rows<Row>(sql, this.#values);
  }

  #check(sql: string): void {
    const named = sql.match(/\b(?:FROM|(?<!ARRAY )JOIN)\s+(?!\()/gi)?.length ?? 0;
    const places = sql.split(`${this.#words.layout.database}.`).length - 1;
    const bound = sql.split('tenant_id = {tenant:UUID}').length - 1;
    if (named !== places || places !== bound) throw new Error('A statement about flows names a table without the condition on its tenant.');
  }
}
