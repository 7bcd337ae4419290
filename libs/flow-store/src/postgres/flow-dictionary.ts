import { createHash } from 'node:crypto';
import type { Pool } from 'pg';
import { inTransaction, setTenant } from './tenant-transaction.ts';

/** One dictionary table: the columns of its content, in the order of the values that describe an entry. */
export interface DictionaryTable {
  readonly name: string;
  /** Column → type in `jsonb_to_recordset`. Arrays travel as jsonb and become text[]. */
  readonly columns: readonly { readonly name: string; readonly type: 'text' | 'text[]' | 'bigint' | 'integer' | 'smallint' | 'uuid' | 'inet' | 'jsonb' }[];
}

type DictionaryValue = string | number | null | readonly unknown[];
export type DictionaryEntry = readonly DictionaryValue[];

/** Ids this process has seen committed; a missing one is looked up, so the bound costs time, never correctness. */
const CACHE_ENTRIES = 100_000;

function digestOf(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 32);
}

/**
 * Turns contents into the integer ids of a dictionary table. Entries are committed before any row can name them: one that
 * no row names does no harm.
 */
export class FlowDictionary {
  readonly #pool: Pool;
  readonly #table: DictionaryTable;
  readonly #cache = new Map<string, number>();
  readonly #insert: string;

  constructor(pool: Pool, table: DictionaryTable) {
    this.#pool = pool;
    this.#table = table;
    this.#insert = insertStatement(table);
  }

  /** Ids of the entries, in order. */
  async ids(tenantId: string, entries: readonly DictionaryEntry[]): Promise<Int32Array> {
    const keys = entries.map((entry) => JSON.stringify(entry));
    const missing = new Map<string, DictionaryEntry>();
    for (const [index, key] of keys.entries()) {
      if (!this.#cache.has(tenantId + key)) missing.set(key, entries[index] ?? []);
    }
    const found = missing.size === 0 ? new Map<string, number>() : await this.#load(tenantId, missing);
    const ids = new Int32Array(entries.length);
    for (const [index, key] of keys.entries()) ids[index] = this.#cache.get(tenantId + key) ?? found.get(key) ?? 0;
    return ids;
  }

  async #load(tenantId: string, missing: ReadonlyMap<string, DictionaryEntry>): Promise<Map<string, number>> {
    const byDigest = new Map([...missing.keys()].map((key) => [digestOf(key), key]));
    // Sorted: two gateways that insert the same entries take their locks in one order.
    const digests = [...byDigest.keys()].toSorted();
    const found = await inTransaction(this.#pool, 'BEGIN', async (client) => {
      await setTenant(client, tenantId);
      const select = `SELECT encode(digest, 'hex') AS digest, id FROM palisade.${this.#table.name} WHERE digest = ANY (SELECT decode(d, 'hex') FROM unnest($1::text[]) d)`;
      const known = new Map((await client.query<{ digest: string; id: number }>(select, [digests])).rows.map((row) => [row.digest, row.id]));
      const absent = digests.filter((digest) => !known.has(digest));
      if (absent.length === 0) return known;
      const rows = absent.map((digest) => ({ digest, ...this.#record(missing.get(byDigest.get(digest) ?? '') ?? []) }));
      await client.query(this.#insert, [tenantId, JSON.stringify(rows)]);
      const now = await client.query<{ digest: string; id: number }>(select, [absent]);
      for (const row of now.rows) known.set(row.digest, row.id);
      return known;
    });
    return this.#remember(tenantId, byDigest, found);
  }

  #record(entry: DictionaryEntry): Record<string, DictionaryValue> {
    return Object.fromEntries(this.#table.columns.map(({ name }, index) => [name, entry[index] ?? null]));
  }

  #remember(tenantId: string, byDigest: ReadonlyMap<string, string>, found: ReadonlyMap<string, number>): Map<string, number> {
    if (this.#cache.size + found.size > CACHE_ENTRIES) this.#cache.clear();
    const ids = new Map<string, number>();
    for (const [digest, key] of byDigest) {
      const id = found.get(digest);
      if (id === undefined) throw new Error(`Dictionary ${this.#table.name} lost an entry between insert and read.`);
      ids.set(key, id);
      this.#cache.set(tenantId + key, id);
    }
    return ids;
  }
}

function insertStatement({ name, columns }: DictionaryTable): string {
  const names = columns.map((column) => `"${column.name}"`).join(', ');
  const types = columns.map((column) => `"${column.name}" ${column.type === 'text[]' ? 'jsonb' : column.type}`).join(', ');
  const values = columns.map((column) => (column.type === 'text[]' ? `ARRAY(SELECT jsonb_array_elements_text(e."${column.name}"))` : `e."${column.name}"`)).join(', ');
  return `INSERT INTO palisade.${name} (tenant_id, digest, ${names})
    SELECT $1, decode(e.digest, 'hex'), ${values} FROM jsonb_to_recordset($2::jsonb) AS e(digest text, ${types})
    ORDER BY e.digest ON CONFLICT (tenant_id, digest) DO NOTHING`;
}
