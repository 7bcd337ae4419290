import type { ClickHouseSession } from '../clickhouse-session.ts';
import { copyTables } from './copy-tables.ts';
import { dictionaryTables, DICTIONARY_TABLES, ledgerTables } from './dictionary-tables.ts';
import { SchemaWords, type ClickHouseLayout } from './engines.ts';
import { flowTables } from './flow-tables.ts';
import { unlandedTable } from './unlanded-table.ts';

interface SchemaStep {
  readonly version: number;
  readonly statements: (words: SchemaWords) => readonly string[];
}

const READ_TABLES = [...DICTIONARY_TABLES, 'flow_batch', 'flow', 'flow_edge_minute', 'flow_edge_hour', 'flow_http_minute', 'flow_http_hour'] as const;

/** Tables that collect the rows of all shards; on a single server there are none. */
function distributedTables(words: SchemaWords, tables: readonly string[]): string[] {
  const { cluster, database } = words.layout;
  if (cluster === undefined) return [];
  return tables.map(
    (table) => `CREATE TABLE IF NOT EXISTS ${words.everywhere(`${table}_all`)} AS ${words.local(table)} ENGINE = Distributed(${cluster}, ${database}, ${table}, rand())`,
  );
}

/** Append only; every statement may run again. A step that is out in the world never changes. */
const STEPS: readonly SchemaStep[] = [
  { version: 1, statements: (words) => [...dictionaryTables(words), ...ledgerTables(words), ...flowTables(words), ...distributedTables(words, READ_TABLES)] },
  { version: 2, statements: (words) => [...copyTables(words), ...distributedTables(words, ['flow_copy'])] },
  { version: 3, statements: (words) => [unlandedTable(words), ...distributedTables(words, ['flow_unlanded'])] },
];

function versionTable(words: SchemaWords): string {
  return `CREATE TABLE IF NOT EXISTS ${words.everywhere('schema_version')} (version UInt32, applied_at DateTime('UTC'))
    ENGINE = ${words.engine('ReplacingMergeTree', 'schema_version')} ORDER BY version`;
}

/** 0: nothing there yet. */
export async function schemaVersion(session: ClickHouseSession, layout: ClickHouseLayout): Promise<number> {
  const there = await session.rows<{ n: string | number }>(`SELECT count() AS n FROM system.tables WHERE database = {database:String} AND name = 'schema_version'`, {
    database: layout.database,
  });
  if (Number(there[0]?.n ?? 0) === 0) return 0;
  const [row] = await session.rows<{ version: number }>(`SELECT max(version) AS version FROM ${new SchemaWords(layout).local('schema_version')}`, {});
  return Number(row?.version ?? 0);
}

/** Brings database and tables to the current version. May run at the same time on several machines. @returns the version found before */
export async function applySchema(session: ClickHouseSession, layout: ClickHouseLayout): Promise<number> {
  const words = new SchemaWords(layout);
  await session.execute(`CREATE DATABASE IF NOT EXISTS ${layout.database}${words.onCluster}`);
  await session.execute(versionTable(words));
  const found = await schemaVersion(session, layout);
  for (const { version, statements } of STEPS.filter((step) => step.version > found)) {
    for (const statement of statements(words)) await session.execute(statement);
    await session.insert({ table: words.local('schema_version'), format: 'JSONEachRow', body: Buffer.from(JSON.stringify({ version, applied_at: Math.floor(Date.now() / 1000) })), token: `schema-${version}` });
  }
  return found;
}
