import type { PoolClient } from 'pg';
import { Parameters } from './flow-filter-sql.ts';

/** A text and the values of its placeholders, which are numbered from 1. */
export interface Statement {
  readonly sql: string;
  readonly values: readonly unknown[];
}

/** Ids that a condition lists one by one; beyond, the planner would take longer over the list than the query over the flows. */
const LISTED_IDS = 2_000;
/** Ids that are fetched at all; beyond, the condition stays a sub-select. */
const FETCHED_IDS = 20_000;

interface Lookup {
  readonly column: string;
  readonly table: string;
  readonly condition: string;
}

/**
 * Asks the dictionaries before the flows are asked: their operators are not leakproof, so under row-level security they would
 * keep the flows' own conditions from the indexes, and as joins they would cost the order of time.
 */
export class LookupParameters extends Parameters {
  readonly #lookups: Lookup[] = [];

  override among(column: string, table: string, condition: string): string {
    return `<<${this.#lookups.push({ column, table, condition }) - 1}>>`;
  }

  /** Puts the ids in. Nothing found becomes `false`, which the planner folds away, and with it often the whole query. */
  async resolve(client: PoolClient, sql: string): Promise<Statement> {
    const found = await this.#ask(client);
    return this.#numbered(sql.replace(/<<(\d+)>>/g, (_, number: string) => {
      const lookup = this.#lookups[Number(number)];
      if (lookup === undefined) throw new Error(`There is no lookup ${number}.`);
      return listed(lookup, found[Number(number)] ?? []);
    }));
  }

  async #ask(client: PoolClient): Promise<readonly number[][]> {
    if (this.#lookups.length === 0) return [];
    const arrays = this.#lookups.map(({ table, condition }) => `ARRAY(SELECT p.id FROM palisade.${table} p WHERE ${condition} LIMIT ${FETCHED_IDS + 1})`);
    const { sql, values } = this.#numbered(`SELECT ${arrays.join(', ')}`);
    const { rows } = await client.query<number[][]>({ text: sql, values: [...values], rowMode: 'array' });
    return rows[0] ?? [];
  }

  /** A statement must use every value that comes with it, so each part of what was built brings only its own. */
  #numbered(sql: string): Statement {
    const used: number[] = [];
    const text = sql.replace(/\$(\d+)/g, (_, number: string) => {
      const index = Number(number) - 1;
      const known = used.indexOf(index);
      return `$${(known < 0 ? used.push(index) - 1 : known) + 1}`;
    });
    return { sql: text, values: used.map((index) => this.values[index]) };
  }
}

function listed({ column, table, condition }: Lookup, ids: readonly number[]): string {
  if (ids.length === 0) return 'false';
  if (ids.length <= LISTED_IDS) return `${column} = ANY ('{${ids.join()}}'::integer[])`;
  const among = ids.length <= FETCHED_IDS ? `SELECT unnest('{${ids.join()}}'::integer[])` : `SELECT p.id FROM palisade.${table} p WHERE ${condition}`;
  // Kept from becoming a join, which would not keep the order of time.
  return `(${column} IN (${among})) IS TRUE`;
}
