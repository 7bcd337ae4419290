import { createHash } from 'node:crypto';
import type { PoolClient } from 'pg';

/** One dictionary table: the columns of its content, in the order of the values that describe an entry. */
export interface DictionaryTable {
  readonly name: string;
  /** Column → type in `jsonb_to_recordset`. Arrays travel as jsonb and become text[]. */
  readonly columns: readonly { readonly name: string; readonly type: 'text' | 'text[]' | 'bigint' | 'integer' | 'smallint' | 'uuid' | 'inet' | 'jsonb' }[];
}

type DictionaryValue = string | number | null | readonly unknown[];
export type DictionaryEntry = readonly DictionaryValue[];

/** What an entry is found by in memory: as distinct as its content, and cheaper to make than its digest. No text holds NUL. */
export function entryKey(entry: DictionaryEntry, lists: Map<readonly unknown[], string>): string {
  let key = '';
  for (const value of entry) {
    if (typeof value === 'string') key += `s${value}\0`;
    else if (typeof value === 'number') key += `d${value}\0`;
    else key += value === null ? 'n' : listKey(value, lists);
  }
  return key;
}

/** Entries of one batch have their lists in common: each is written out once. */
function listKey(list: readonly unknown[], lists: Map<readonly unknown[], string>): string {
  let key = lists.get(list);
  if (key === undefined) lists.set(list, (key = `l${JSON.stringify(list)}\0`));
  return key;
}

function digestOf(entry: DictionaryEntry): string {
  return createHash('sha256').update(JSON.stringify(entry)).digest('hex').slice(0, 32);
}

/** Ids of the entries of one table by key, those added that are absent. The transaction must be the tenant's. */
export async function loadEntries(client: PoolClient, table: DictionaryTable, tenantId: string, entries: ReadonlyMap<string, DictionaryEntry>): Promise<Map<string, number>> {
  const byDigest = new Map([...entries].map(([key, entry]) => [digestOf(entry), { key, entry }]));
  // Sorted: two gateways that insert the same entries take their locks in one order.
  const digests = [...byDigest.keys()].toSorted();
  const select = `SELECT encode(digest, 'hex') AS digest, id FROM palisade.${table.name} WHERE digest = ANY (SELECT decode(d, 'hex') FROM unnest($1::text[]) d)`;
  const known = new Map((await client.query<{ digest: string; id: number }>(select, [digests])).rows.map((row) => [row.digest, row.id]));
  const absent = digests.filter((digest) => !known.has(digest));
  if (absent.length > 0) {
    const rows = absent.map((digest) => ({ digest, ...recordOf(table, byDigest.get(digest)?.entry ?? []) }));
    await client.query(insertStatement(table), [tenantId, JSON.stringify(rows)]);
    const now = await client.query<{ digest: string; id: number }>(select, [absent]);
    for (const row of now.rows) known.set(row.digest, row.id);
  }
  const ids = new Map<string, number>();
  for (const [digest, { key }] of byDigest) {
    const id = known.get(digest);
    if (id === undefined) throw new Error(`Dictionary ${table.name} lost an entry between insert and read.`);
    ids.set(key, id);
  }
  return ids;
}

function recordOf({ columns }: DictionaryTable, entry: DictionaryEntry): Record<string, DictionaryValue> {
  return Object.fromEntries(columns.map(({ name }, index) => [name, entry[index] ?? null]));
}

function insertStatement({ name, columns }: DictionaryTable): string {
  const names = columns.map((column) => `"${column.name}"`).join(', ');
  const types = columns.map((column) => `"${column.name}" ${column.type === 'text[]' ? 'jsonb' : column.type}`).join(', ');
  const values = columns.map((column) => (column.type === 'text[]' ? `ARRAY(SELECT jsonb_array_elements_text(e."${column.name}"))` : `e."${column.name}"`)).join(', ');
  return `INSERT INTO palisade.${name} (tenant_id, digest, ${names})
    SELECT $1, decode(e.digest, 'hex'), ${values} FROM jsonb_to_recordset($2::jsonb) AS e(digest text, ${types})
    ORDER BY e.digest ON CONFLICT (tenant_id, digest) DO NOTHING`;
}
