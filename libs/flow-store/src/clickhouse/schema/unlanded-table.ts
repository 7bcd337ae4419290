import type { SchemaWords } from './engines.ts';

/** Batches that were acknowledged and not found here a while later. Once a batch is in `flow_batch` its row says nothing any more. */
export function unlandedTable(words: SchemaWords): string {
  return `CREATE TABLE IF NOT EXISTS ${words.everywhere('flow_unlanded')} (tenant_id UUID, batch_id UInt64, cluster_id UUID, window_start_us UInt64, window_end_us UInt64, lost UInt64, found_us UInt64)
    ENGINE = ${words.engine('ReplacingMergeTree', 'flow_unlanded')} ORDER BY (tenant_id, batch_id) ${words.remembers}`;
}
