import { Readable } from 'node:stream';
import type { ClickHouseClient } from '@clickhouse/client';
import { sessionOf, type ClickHouseServer, type ClickHouseSession } from './clickhouse-session.ts';

const QUERY_SECONDS = 10;
const REQUEST_TIMEOUT_MS = 60_000;
const CONNECTIONS = 8;

/** Settings of every question: nothing can be written by it, however it was made. */
const QUESTION = { readonly: '2', max_execution_time: QUERY_SECONDS, output_format_json_quote_64bit_integers: 1 } as const;

/** An insert is one block, and the views' tables know a retry by the same token. */
function insertSettings(token: string) {
  return {
    insert_deduplication_token: token, insert_deduplicate: 1, deduplicate_blocks_in_dependent_materialized_views: 1, async_insert: 0, wait_end_of_query: 1,
    min_insert_block_size_rows: '1048576', min_insert_block_size_bytes: '0', max_insert_threads: '1', input_format_parallel_parsing: 0,
  } as const;
}

function serverOf(client: ClickHouseClient): ClickHouseServer {
  return {
    async query<Row>(sql: string, parameters: Readonly<Record<string, unknown>>) {
      const result = await client.query({ query: sql, query_params: { ...parameters }, format: 'JSON', clickhouse_settings: QUESTION });
      return (await result.json<Row>()).data;
    },
    async insert({ table, format, body, token }) {
      const { stream } = await client.exec({ query: `INSERT INTO ${table} FORMAT ${format}`, values: Readable.from([body], { objectMode: false }), clickhouse_settings: insertSettings(token) });
      for await (const _ of stream) { /* The answer is empty; its end says that the insert is done. */ }
    },
    async command(sql) {
      await client.command({ query: sql, clickhouse_settings: { wait_end_of_query: 1 } });
    },
    close: () => client.close(),
  };
}

/** `http://a:8123,http://b:8123;http://c:8123`: replicas of a shard apart by commas, shards by semicolons. */
export function parseClickHouseUrls(text: string): URL[][] {
  return text.split(';').map((shard) => shard.split(',').map((url) => new URL(url.trim())));
}

/**
 * Opens connections to ClickHouse through the official client, which is loaded only now.
 * @param urls see `parseClickHouseUrls`; user and password may be part of each
 */
export async function openClickHouse(urls: string): Promise<ClickHouseSession> {
  const { ClickHouseLogLevel, createClient } = await import('@clickhouse/client');
  // Errors are thrown; whoever handles them says so in our own log.
  const log = { level: ClickHouseLogLevel.OFF };
  return sessionOf(
    parseClickHouseUrls(urls).map((shard) =>
      shard.map((url) => serverOf(createClient({ url, application: 'palisade', log, request_timeout: REQUEST_TIMEOUT_MS, max_open_connections: CONNECTIONS, keep_alive: { idle_socket_ttl: 2_000 } }))),
    ),
  );
}
