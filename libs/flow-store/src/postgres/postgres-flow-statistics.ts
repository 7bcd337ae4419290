import { DomainError } from '@palisade/errors';
import { COUNTED_LATENCIES_US, COUNTED_TCP_FLAGS, directionName, DNS_ADDRESSES, eventName, FLOW_EVENT, LATENCY_BUCKETS, verdictName, type FlowCount, type FlowDnsName } from '@palisade/flow';
import type { FlowCounts, FlowDnsAnswers, FlowDnsQuery, FlowQuery, FlowStatistics, IngestPosition } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { Pool, PoolClient } from 'pg';
import { committedAfter, ofBatches, TAIL_BATCHES, takeBatches, type CommittedBatch } from './committed-batches.ts';
import { Parameters } from './flow-filter-sql.ts';
import { visibleFlows } from './flow-visibility.ts';
import { inReadTransaction, timestampText } from './read-transaction.ts';

const MAX_NAMES = 5_000;

/** Counts flows with the api's (or worker's) role; row-level security limits it to the tenant, conditions to the scope. */
export class PostgresFlowStatistics implements FlowStatistics {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  dnsNames(context: TenantContext, query: FlowDnsQuery): Promise<FlowDnsAnswers> {
    if (!Number.isInteger(query.limit) || query.limit < 1 || query.limit > MAX_NAMES) {
      throw new DomainError('request.invalid', `The number of names lies between 1 and ${MAX_NAMES}.`, { pointer: '/limit' });
    }
    return inReadTransaction(this.#pool, context, async (client) => {
      const rows = await nameRows(client, context, query);
      const names = rows.map(nameOf);
      const [all] = rows;
      const told = names.reduce((sum, { lookups }) => sum + lookups, 0);
      return { names, beyond: { names: Number(all?.all_names ?? 0) - names.length, lookups: Number(all?.all_lookups ?? 0) - told } };
    });
  }

  positionAt(context: TenantContext, us: number): Promise<IngestPosition> {
    return inReadTransaction(this.#pool, context, async (client) => {
      // The first commit at or after: everything stored later is behind it, and all that is not yet committed.
      const { rows } = await client.query<{ commit: string }>(
        `SELECT (least((SELECT min(commit_order) FROM palisade.flow_batch WHERE received_at >= $1::timestamptz),
          pg_snapshot_xmin(pg_current_snapshot())::text::bigint) - 1)::text AS commit`,
        [timestampText(us)],
      );
      return { commit: rows[0]?.commit ?? '0', batch: '9223372036854775807' };
    });
  }

  counts(context: TenantContext, query: Pick<FlowQuery, 'clusterId'>, position: IngestPosition, rows: number): Promise<FlowCounts> {
    return inReadTransaction(this.#pool, context, async (client) => {
      const batches = await committedAfter(client, position);
      const taken = takeBatches(batches, rows);
      const last = taken.at(-1);
      if (last === undefined) return { counts: [], position, more: false };
      const counts = (await countRows(client, context, query, taken)).map(countOf);
      return { counts, position: { commit: last.commit_order, batch: last.batch_id }, more: taken.length < batches.length || batches.length === TAIL_BATCHES };
    });
  }
}

interface NameRow {
  readonly query: string;
  readonly lookups: string;
  readonly rcodes: Readonly<Record<string, number>>;
  readonly clients: string;
  readonly addresses: string[];
  readonly latency: Readonly<Record<string, number>>;
  readonly last_us: string;
  readonly all_names: string;
  readonly all_lookups: string;
}

/** The bucket of `latencyBucket`, in SQL. */
const BUCKET = `CASE WHEN f.latency_us IS NULL THEN NULL WHEN f.latency_us < 64 THEN 0
  ELSE least(${LATENCY_BUCKETS - 1}, 1 + floor(log(2::numeric, f.latency_us::numeric / 64) * 4))::integer END`;

/** Answers are first summed up by their dictionary entry, of which a name has few; the names come to that afterwards. */
async function nameRows(client: PoolClient, context: TenantContext, query: FlowDnsQuery): Promise<NameRow[]> {
  const parameters = new Parameters();
  const conditions = [
    'f.dns_id IS NOT NULL',
    `f.last_seen >= ${parameters.add(timestampText(query.sinceUs))}::timestamptz`,
    `f.last_seen < ${parameters.add(timestampText(query.untilUs))}::timestamptz`,
    ...visibleFlows(context, query.clusterId, parameters),
  ];
  const { rows } = await client.query<NameRow>(
    `WITH part AS MATERIALIZED (
        SELECT f.dns_id, f.source_id, ${BUCKET} AS bucket, sum(coalesce(f.weight, 1)) AS flows, max(f.last_seen) AS last_seen
        FROM palisade.flow f WHERE ${conditions.join(' AND ')} GROUP BY 1, 2, 3),
      named AS MATERIALIZED (SELECT d.query, d.rcode, d.addresses, part.* FROM part JOIN palisade.flow_dns d ON d.id = part.dns_id),
      top AS (
        SELECT query, sum(flows) AS lookups, count(DISTINCT source_id) AS clients, max(last_seen) AS last_seen,
          count(*) OVER () AS all_names, sum(sum(flows)) OVER () AS all_lookups
        FROM named GROUP BY query ORDER BY lookups DESC, query COLLATE "C" LIMIT ${parameters.add(query.limit)})
      SELECT top.query, top.lookups, top.clients, top.all_names, top.all_lookups, (extract(epoch FROM top.last_seen) * 1000000)::bigint AS last_us,
        (SELECT jsonb_object_agg(r.rcode, r.flows) FROM (SELECT n.rcode, sum(n.flows) AS flows FROM named n WHERE n.query = top.query GROUP BY n.rcode) r) AS rcodes,
        coalesce((SELECT jsonb_object_agg(r.bucket, r.flows) FROM (SELECT n.bucket, sum(n.flows) AS flows FROM named n WHERE n.query = top.query AND n.bucket IS NOT NULL GROUP BY n.bucket) r), '{}') AS latency,
        ARRAY(SELECT DISTINCT a COLLATE "C" FROM named n, unnest(n.addresses) a WHERE n.query = top.query ORDER BY 1 LIMIT ${DNS_ADDRESSES}) AS addresses
      FROM top ORDER BY top.lookups DESC, top.query COLLATE "C"`,
    parameters.values,
  );
  return rows;
}

function nameOf(row: NameRow): FlowDnsName {
  const latency: number[] = [];
  for (const [bucket, flows] of Object.entries(row.latency)) {
    while (latency.length <= Number(bucket)) latency.push(0);
    latency[Number(bucket)] = flows;
  }
  return { query: row.query, lookups: Number(row.lookups), byRcode: row.rcodes, clients: Number(row.clients), addresses: row.addresses, latency, lastSeenUs: Number(row.last_us) };
}

interface CountRow {
  readonly event: number;
  readonly verdict: number;
  readonly direction: number;
  readonly protocol: number;
  readonly is_reply: boolean;
  readonly ipv6: boolean;
  readonly source_namespace: string | null;
  readonly source_workload: string | null;
  readonly destination_namespace: string | null;
  readonly destination_workload: string | null;
  readonly tcp_flags: number;
  readonly icmp_type: number | null;
  readonly method: string | null;
  readonly http_status: number | null;
  readonly latency: number | null;
  readonly rcode: number | null;
  readonly ipv4_answers: number | null;
  readonly ipv6_answers: number | null;
  readonly flows: string;
  readonly latency_us: string;
}

/** Where a connection begins, ends or is denied: other rows would count its flags or its type again. */
const MARKS = [FLOW_EVENT.new, FLOW_EVENT.closed, FLOW_EVENT.dropped].join();
/** `width_bucket` counts the bounds that do not exceed its number; a latency belongs to the bound that it does not exceed. */
const LATENCY = `CASE WHEN f.http_id IS NOT NULL THEN width_bucket(f.latency_us - 1, ARRAY[${COUNTED_LATENCIES_US.join()}]) END`;
const LAYER_4 = 'f.http_id IS NULL AND f.dns_id IS NULL';

async function countRows(client: PoolClient, context: TenantContext, query: Pick<FlowQuery, 'clusterId'>, batches: readonly CommittedBatch[]): Promise<CountRow[]> {
  const parameters = new Parameters();
  const conditions = [
    ...ofBatches(batches, parameters),
    `(f.http_id IS NOT NULL OR f.dns_id IS NOT NULL OR (f.event IN (${MARKS}) AND (f.protocol IN (1, 58) OR (f.protocol = 6 AND coalesce(f.tcp_flags, 0) & ${COUNTED_TCP_FLAGS} <> 0))))`,
    ...visibleFlows(context, query.clusterId, parameters),
  ];
  const { rows } = await client.query<CountRow>(
    `WITH part AS MATERIALIZED (
        SELECT f.event, f.verdict, f.direction, f.protocol, f.is_reply, f.source_id, f.destination_id, f.http_id, f.http_status, f.dns_id,
          CASE WHEN f.protocol = 6 AND ${LAYER_4} THEN coalesce(f.tcp_flags, 0) & ${COUNTED_TCP_FLAGS} ELSE 0 END AS tcp_flags,
          CASE WHEN f.protocol IN (1, 58) THEN f.destination_port END AS icmp_type, ${LATENCY} AS latency,
          sum(coalesce(f.weight, 1)) AS flows, sum(CASE WHEN f.http_id IS NOT NULL THEN f.latency_us::bigint * coalesce(f.weight, 1) END) AS latency_us
        FROM palisade.flow f WHERE ${conditions.join(' AND ')} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
      SELECT part.event, part.verdict, part.direction, part.protocol, part.is_reply, family(s.address) = 6 AS ipv6,
        s.namespace AS source_namespace, s.workload AS source_workload, d.namespace AS destination_namespace, d.workload AS destination_workload,
        part.tcp_flags, part.icmp_type, h.method, part.http_status, n.rcode,
        (SELECT count(*) FROM unnest(n.addresses) a WHERE a NOT LIKE '%:%')::integer AS ipv4_answers, (SELECT count(*) FROM unnest(n.addresses) a WHERE a LIKE '%:%')::integer AS ipv6_answers,
        part.latency, sum(part.flows) AS flows, coalesce(sum(part.latency_us), 0) AS latency_us
      FROM part JOIN palisade.flow_peer s ON s.id = part.source_id JOIN palisade.flow_peer d ON d.id = part.destination_id
        LEFT JOIN palisade.flow_http h ON h.id = part.http_id LEFT JOIN palisade.flow_dns n ON n.id = part.dns_id
      GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18`,
    parameters.values,
  );
  return rows;
}

function endOf(namespace: string | null, workload: string | null): FlowCount['source'] {
  return { ...(namespace === null ? {} : { namespace }), ...(workload === null ? {} : { workload }) };
}

function countOf(row: CountRow): FlowCount {
  return {
    event: eventName(row.event),
    verdict: verdictName(row.verdict),
    direction: directionName(row.direction),
    protocol: row.protocol,
    isReply: row.is_reply,
    ipv6: row.ipv6,
    source: endOf(row.source_namespace, row.source_workload),
    destination: endOf(row.destination_namespace, row.destination_workload),
    tcpFlags: row.tcp_flags,
    ...(row.icmp_type === null ? {} : { icmpType: row.icmp_type }),
    ...(row.method === null ? {} : { http: { method: row.method, ...(row.http_status === null ? {} : { status: row.http_status }), ...(row.latency === null ? {} : { latency: row.latency }) } }),
    ...(row.rcode === null ? {} : { dns: { rcode: row.rcode, ipv4Answers: row.ipv4_answers ?? 0, ipv6Answers: row.ipv6_answers ?? 0 } }),
    flows: Number(row.flows),
    latencyUs: Number(row.latency_us),
  };
}
