/** Latencies of the questions people ask, over a day of flows. */
import type { FlowReaders } from '@palisade/flow-store';
import { EVERY_FLOW, parseLabelSelector, parsePrefix, type FlowFilter } from '@palisade/flow';
import { isDomainError } from '@palisade/errors';
import { systemContext } from '@palisade/tenancy';
import pg from 'pg';
import type { BenchDatabase } from './database.ts';
import { CLUSTER, percentile, TENANT } from './ingest-rates.ts';

export interface QueryLatencies {
  readonly rows: number;
  readonly drops_1h_p95_ms: number;
  readonly map_24h_p95_ms: number;
  readonly list_p95_ms: number;
  /** By filter. */
  readonly lists: readonly { readonly filter: string; readonly medianMs: number; readonly worstMs: number; readonly flows: number }[];
}

const HOUR_US = 3_600_000_000;

async function admin<Row extends pg.QueryResultRow>(database: BenchDatabase, work: (client: pg.Client) => Promise<Row>): Promise<Row> {
  const client = new pg.Client({ connectionString: database.adminUrl });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Multiplies what was stored until there are `rows`, spread evenly over the last 24 hours, and sums it up by hour. */
export async function fillDay(database: BenchDatabase, rows: number): Promise<number> {
  return (
    await admin(database, async (client) => {
      await client.query('SET synchronous_commit = off');
      await client.query('SELECT palisade.flow_ensure_partitions(current_date - 2, current_date + 1)');
      const { rows: counted } = await client.query<{ n: string }>('SELECT count(*) AS n FROM palisade.flow');
      const stored = Number(counted[0]?.n ?? 0);
      const copies = Math.max(0, Math.ceil((rows - stored) / Math.min(stored, 200_000)));
      const { rows: columns } = await client.query<{ names: string }>(
        `SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) AS names FROM information_schema.columns WHERE table_schema = 'palisade' AND table_name = 'flow' AND column_name NOT IN ('last_seen', 'batch_id')`,
      );
      const names = columns[0]?.names ?? '';
      await client.query(`CREATE TEMP TABLE seed AS SELECT * FROM palisade.flow LIMIT 200000`);
      for (let copy = 0; copy < copies; copy++) {
        await client.query(
          `INSERT INTO palisade.flow (last_seen, batch_id, ${names}) SELECT now() - ($1 + random()) / $2 * interval '24 hours', 1000000 + $1::integer, ${names} FROM seed`,
          [copies - 1 - copy, copies],
        );
      }
      await client.query('ANALYZE palisade.flow');
      await client.query(`INSERT INTO palisade.flow_edge_hour (tenant_id, bucket, cluster_id, source_id, destination_id, port, protocol, verdict, drop_reason, policy_set_id, flows, packets, bytes, reply_packets, reply_bytes, part)
        SELECT tenant_id, h, cluster_id, source_id, destination_id, port, protocol, verdict, drop_reason, policy_set_id, sum(flows), sum(packets), sum(bytes), sum(reply_packets), sum(reply_bytes), false
        FROM palisade.flow_edge_minute, generate_series(date_trunc('hour', now() - interval '23 hours'), now(), interval '1 hour') h GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10`);
      await client.query('DELETE FROM palisade.flow_edge_minute');
      await client.query('ANALYZE palisade.flow_edge_hour');
      return (await client.query<{ n: string }>('SELECT count(*) AS n FROM palisade.flow')).rows[0] ?? { n: '0' };
    })
  ).n as unknown as number;
}

/** Milliseconds of each call; one that was cut off by the statement timeout counts as long as it took. */
async function timed(count: number, work: (index: number) => Promise<unknown>): Promise<number[]> {
  const latencies: number[] = [];
  for (let index = -1; index < count; index++) {
    const startedAt = performance.now();
    await work(Math.max(0, index)).catch((error: unknown) => {
      if (!isDomainError(error, 'service.unavailable')) throw error;
    });
    if (index >= 0) latencies.push(performance.now() - startedAt);
  }
  return latencies;
}

const FILTERS: readonly FlowFilter[] = [
  {}, { processes: ['*/curl'] }, { httpStatuses: ['503'], httpMethods: ['GET'] }, { source: { labels: [parseLabelSelector('app=app-5')] } },
  { destination: { prefixes: [parsePrefix('198.51.7.0/24')] } }, { verdicts: ['dropped'] }, { source: { namespaces: ['team-3'] } }, { either: { workloads: ['app-5-5'] } }, { destination: { ports: [6379] } }, { dnsQueries: ['svc-49.*'] },
  { policies: [{ name: 'rule-3' }] }, { httpStatuses: ['5+'] }, { either: { workloads: ['nobody'] } },
];

/** @param readers of the store; they stay the caller's */
export async function measureQueries({ reader, edges }: Pick<FlowReaders, 'reader' | 'edges'>, rows: number, samples: number): Promise<QueryLatencies> {
  const context = systemContext(TENANT, 'bench');
  const window = (hours: number) => ({ clusterId: CLUSTER, sinceUs: Date.now() * 1000 - hours * HOUR_US, untilUs: Date.now() * 1000 });
  const drops = await timed(samples, () => reader.list(context, { ...window(1), selection: { allow: [{ verdicts: ['dropped'] }], deny: [] }, order: 'newest', limit: 100 }));
  const map = await timed(samples, () => edges.edges(context, { ...window(24), limit: 5000 }));
  const lists: { filter: string; latencies: number[]; flows: number }[] = [];
  for (const filter of FILTERS) {
    let flows = 0;
    const latencies = await timed(samples, async () => {
      flows = (await reader.list(context, { ...window(24), selection: { ...EVERY_FLOW, allow: [filter] }, order: 'newest', limit: 100 })).flows.length;
    });
    lists.push({ filter: JSON.stringify(filter), latencies, flows });
  }
  return {
    rows, drops_1h_p95_ms: percentile(drops, 0.95), map_24h_p95_ms: percentile(map, 0.95), list_p95_ms: percentile(lists.flatMap(({ latencies }) => latencies), 0.95),
    lists: lists.map(({ filter, latencies, flows }) => ({ filter, flows, medianMs: percentile(latencies, 0.5), worstMs: Math.max(...latencies) })),
  };
}
