import type { SchemaWords } from './engines.ts';

/** What was copied from PostgreSQL, in chunks: a row when a chunk is planned, before anything of it is written, and one when it is done. */
export function copyTables(words: SchemaWords): string[] {
  return [
    `CREATE TABLE IF NOT EXISTS ${words.everywhere('flow_copy')} (tenant_id UUID, chunk UInt64, commit_order UInt64, batch_id UInt64,
        batch_ids Array(UInt64), rows UInt64, done UInt8, at_us UInt64)
      ENGINE = ${words.engine('MergeTree', 'flow_copy')} ORDER BY (tenant_id, chunk, done) ${words.remembers}`,
  ];
}
