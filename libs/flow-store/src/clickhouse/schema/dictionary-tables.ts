import type { SchemaWords } from './engines.ts';

/**
 * What flows name by id. An id is made from the content (see `content-id.ts`), so that every gateway finds the same one
 * without asking; an entry that is stored twice is merged into one.
 */
const DICTIONARIES = {
  /** `address_hex`: the bytes of the address; prefixes are ranges of it. */
  flow_peer: `address String, address_hex String, identity UInt64, labels Array(String), namespace Nullable(String), workload Nullable(String), cluster Nullable(String),
    node Nullable(String), dns_names Array(String)`,
  flow_observer: 'node_id UUID, node String, interface Nullable(String)',
  flow_stamp: 'generation String, policy_revision UInt64, identity_revision UInt64, origin UInt8',
  /** `policies` is what is shown (JSON); the lists beside it, one place for each policy, are what filters ask. */
  flow_policy_set: `policies String, kinds Array(String), namespaces Array(String), names Array(String), directions Array(UInt8), rules Array(Int32)`,
  flow_process: 'binary String, uid UInt64, container Nullable(String), arguments Nullable(String)',
  flow_http: 'method String, path String',
  flow_dns: 'query String, addresses Array(String), rcode UInt32',
} as const;

export type DictionaryTable = keyof typeof DICTIONARIES;
export const DICTIONARY_TABLES = Object.keys(DICTIONARIES) as readonly DictionaryTable[];

export function dictionaryTables(words: SchemaWords): string[] {
  return DICTIONARY_TABLES.map(
    (table) => `CREATE TABLE IF NOT EXISTS ${words.everywhere(table)} (tenant_id UUID, id UInt64, ${DICTIONARIES[table]})
      ENGINE = ${words.engine('ReplacingMergeTree', table)} ORDER BY (tenant_id, id) ${words.remembers}`,
  );
}

/**
 * Batches that have landed. Each segment adds its batches and one row of the tenant of zeroes in one block: whoever sees
 * that row sees all of the segment's batches.
 */
function batchTable(words: SchemaWords): string {
  return `CREATE TABLE IF NOT EXISTS ${words.everywhere('flow_batch')} (tenant_id UUID, writer String, segment UInt64, batch_id UInt64, sealed_us UInt64,
      cluster_id UUID, node_id UUID, node String, rows UInt32, window_start_us UInt64, window_end_us UInt64, received_us UInt64,
      seen UInt64, sampled UInt64, loss_reasons Array(String), loss_counts Array(UInt64), incomplete UInt8)
    ENGINE = ${words.engine('MergeTree', 'flow_batch')} PARTITION BY toYYYYMMDD(toDateTime(intDiv(sealed_us, 1000000), 'UTC'))
    ORDER BY (tenant_id, writer, segment, batch_id) ${words.remembers}`;
}

export function ledgerTables(words: SchemaWords): string[] {
  return [batchTable(words)];
}
