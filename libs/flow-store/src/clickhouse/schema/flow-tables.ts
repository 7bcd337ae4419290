import type { SchemaWords } from './engines.ts';

const DAY_OF_FLOW = `toYYYYMMDD(toDateTime(intDiv(last_seen_us, 1000000), 'UTC'))`;

/** Columns of one flow, in the order in which blocks carry them. Ids name dictionary entries; 0 stands for none. */
export const FLOW_COLUMNS_SQL = {
  tenant_id: 'UUID', last_seen_us: 'UInt64', batch_id: 'UInt64', row: 'UInt16', cluster_id: 'UUID',
  source_id: 'UInt64', destination_id: 'UInt64', observer_id: 'UInt64', stamp_id: 'UInt64', policy_set_id: 'UInt64',
  process_id: 'UInt64', http_id: 'UInt64', dns_id: 'UInt64',
  packets: 'UInt64', bytes: 'UInt64', reply_packets: 'UInt64', reply_bytes: 'UInt64', duration_us: 'UInt64',
  pid: 'UInt32', rtt_us: 'UInt32', latency_us: 'UInt32', weight: 'UInt32',
  source_port: 'UInt16', destination_port: 'UInt16', tcp_flags: 'UInt16', http_status: 'UInt16',
  protocol: 'UInt8', event: 'UInt8', direction: 'UInt8', verdict: 'UInt8', drop_reason: 'UInt8', shadow_verdict: 'UInt8', is_reply: 'UInt8',
} as const;

/** What only the sums need to know about a flow. */
export const EDGE_COLUMNS_SQL = {
  edge_source_id: 'UInt64', edge_destination_id: 'UInt64', edge_policy_set_id: 'UInt64', edge_port: 'UInt16',
  /** 1: the flow begins a connection that counts. */
  begins: 'UInt8',
  /** 1: its packets and bytes count. */
  counts: 'UInt8',
  /** Latency bucket plus one; 0: no latency. */
  latency_bucket: 'UInt8',
} as const;

export const INGEST_COLUMNS_SQL = { ...FLOW_COLUMNS_SQL, ...EDGE_COLUMNS_SQL } as const;
export type IngestColumn = keyof typeof INGEST_COLUMNS_SQL;

const EDGE_KEY_SQL = {
  tenant_id: 'UUID', bucket: `DateTime('UTC')`, cluster_id: 'UUID', source_id: 'UInt64', destination_id: 'UInt64', port: 'UInt16', protocol: 'UInt8',
  verdict: 'UInt8', drop_reason: 'UInt8', policy_set_id: 'UInt64',
} as const;
/** `reports` keeps rows alive whose other sums are zero: a summing table removes rows of zeroes. */
const EDGE_SUMS = ['reports', 'flows', 'packets', 'bytes', 'reply_packets', 'reply_bytes'] as const;

const EDGE_OF_FLOW = `cluster_id, edge_source_id AS source_id, edge_destination_id AS destination_id, edge_port AS port, protocol, verdict, drop_reason,
  edge_policy_set_id AS policy_set_id`;
const SERVER_ERROR = 500;

function columns(definitions: Readonly<Record<string, string>>): string {
  return Object.entries(definitions).map(([name, type]) => `${name} ${type}`).join(', ');
}

/** Bounds of a bucket: 1-minute and 1-hour sums are equal but for this. */
const BUCKETS = { minute: 'toStartOfMinute', hour: 'toStartOfHour' } as const;
export type EdgeBucket = keyof typeof BUCKETS;

export function flowTables(words: SchemaWords): string[] {
  const flow = `CREATE TABLE IF NOT EXISTS ${words.everywhere('flow')} (${columns(FLOW_COLUMNS_SQL)})
    ENGINE = ${words.engine('MergeTree', 'flow')} PARTITION BY ${DAY_OF_FLOW}
    ORDER BY (tenant_id, intDiv(last_seen_us, 300000000), verdict, source_id, destination_id) ${words.remembers}`;
  const ingest = `CREATE TABLE IF NOT EXISTS ${words.everywhere('flow_ingest')} (${columns(INGEST_COLUMNS_SQL)}) ENGINE = Null`;
  const kept = `CREATE MATERIALIZED VIEW IF NOT EXISTS ${words.everywhere('flow_ingest_to_flow')} TO ${words.local('flow')} AS
    SELECT ${Object.keys(FLOW_COLUMNS_SQL).join(', ')} FROM ${words.local('flow_ingest')}`;
  return [flow, ingest, ...(Object.keys(BUCKETS) as EdgeBucket[]).flatMap((bucket) => edgeTables(words, bucket)), kept];
}

function edgeTables(words: SchemaWords, size: EdgeBucket): string[] {
  const key = Object.keys(EDGE_KEY_SQL).join(', ');
  const partition = size === 'minute' ? 'toYYYYMMDD(bucket)' : 'toYYYYMM(bucket)';
  const bucket = `${BUCKETS[size]}(toDateTime(intDiv(last_seen_us, 1000000), 'UTC')) AS bucket`;
  const ingest = words.local('flow_ingest');
  const sum = (column: string): string => `sum(if(counts = 1, ${column} * weight, 0)) AS ${column}`;
  return [
    `CREATE TABLE IF NOT EXISTS ${words.everywhere(`flow_edge_${size}`)} (${columns(EDGE_KEY_SQL)}, ${EDGE_SUMS.map((name) => `${name} UInt64`).join(', ')})
      ENGINE = ${words.engine('SummingMergeTree', `flow_edge_${size}`, EDGE_SUMS)} PARTITION BY ${partition} ORDER BY (${key}) ${words.remembers}`,
    `CREATE TABLE IF NOT EXISTS ${words.everywhere(`flow_http_${size}`)} (${columns(EDGE_KEY_SQL)}, requests AggregateFunction(sum, UInt64),
        errors AggregateFunction(sum, UInt64), latency AggregateFunction(sumMap, Array(UInt8), Array(UInt64)))
      ENGINE = ${words.engine('AggregatingMergeTree', `flow_http_${size}`)} PARTITION BY ${partition} ORDER BY (${key}) ${words.remembers}`,
    `CREATE MATERIALIZED VIEW IF NOT EXISTS ${words.everywhere(`flow_ingest_to_edge_${size}`)} TO ${words.local(`flow_edge_${size}`)} AS
      SELECT tenant_id, ${bucket}, ${EDGE_OF_FLOW}, count() AS reports, sum(if(begins = 1, toUInt64(weight), 0)) AS flows,
        ${['packets', 'bytes', 'reply_packets', 'reply_bytes'].map(sum).join(', ')}
      FROM ${ingest} WHERE begins = 1 OR counts = 1 OR http_id > 0 GROUP BY ${key}`,
    `CREATE MATERIALIZED VIEW IF NOT EXISTS ${words.everywhere(`flow_ingest_to_http_${size}`)} TO ${words.local(`flow_http_${size}`)} AS
      SELECT tenant_id, ${bucket}, ${EDGE_OF_FLOW}, sumState(toUInt64(weight)) AS requests,
        sumState(if(http_status >= ${SERVER_ERROR}, toUInt64(weight), toUInt64(0))) AS errors,
        sumMapState(if(latency_bucket > 0, [toUInt8(latency_bucket - 1)], emptyArrayUInt8()),
          if(latency_bucket > 0, [toUInt64(weight)], emptyArrayUInt64())) AS latency
      FROM ${ingest} WHERE http_id > 0 GROUP BY ${key}`,
  ];
}
