import { DomainError } from '@palisade/errors';
import { dropReasonName, verdictName, type FlowEdge, type FlowParty, type FlowPolicy } from '@palisade/flow';
import type { FlowEdgeAnswer, FlowEdgeQuery, FlowEdgeReader } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { Pool, PoolClient } from 'pg';
import { readCoverage } from './flow-coverage.ts';
import { Parameters } from './flow-filter-sql.ts';
import { inReadTransaction, timestampText } from './read-transaction.ts';

/** Beyond this, minutes are not worth reading: hours say the same in a sixtieth of the rows. */
const HOURS_FROM_US = 6 * 3_600_000_000;
const HOUR_US = 3_600_000_000;
const MAX_EDGES = 20_000;

interface EdgeRow {
  readonly source_id: number;
  readonly destination_id: number;
  readonly port: number;
  readonly protocol: number;
  readonly verdict: number;
  readonly drop_reason: number | null;
  readonly policy_set_id: number | null;
  readonly flows: string;
  readonly packets: string;
  readonly bytes: string;
  readonly reply_packets: string;
  readonly reply_bytes: string;
  readonly http_requests: string | null;
  readonly http_errors: string | null;
  readonly http_latency: number[] | null;
  readonly all_edges: string;
  readonly all_flows: string;
  readonly all_bytes: string;
}

/** Reads the sums that ingest and compaction keep. Minutes are exact; over six hours, the window is widened to whole hours at its start. */
export class PostgresFlowEdges implements FlowEdgeReader {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  edges(context: TenantContext, query: FlowEdgeQuery): Promise<FlowEdgeAnswer> {
    if (!Number.isInteger(query.limit) || query.limit < 1 || query.limit > MAX_EDGES) {
      throw new DomainError('request.invalid', `The number of edges lies between 1 and ${MAX_EDGES}.`, { pointer: '/limit' });
    }
    return inReadTransaction(this.#pool, context, async (client) => {
      const rows = await edgeRows(client, context, query);
      const edges = await nameEdges(client, rows);
      const coverage = await readCoverage(client, context, query);
      const told = rows.reduce((sum, row) => ({ flows: sum.flows + Number(row.flows), bytes: sum.bytes + Number(row.bytes) }), { flows: 0, bytes: 0 });
      const [all] = rows;
      const beyond = {
        edges: Number(all?.all_edges ?? 0) - rows.length, flows: Number(all?.all_flows ?? 0) - told.flows, bytes: Number(all?.all_bytes ?? 0) - told.bytes,
      };
      return { edges, beyond, coverage };
    });
  }
}

/** Hours hold what was compacted; the minutes' parts hold what was not yet: together everything, once. */
function relation(query: FlowEdgeQuery, parameters: Parameters): string {
  const until = `${parameters.add(timestampText(query.untilUs))}::timestamptz`;
  if (query.untilUs - query.sinceUs <= HOURS_FROM_US) {
    return `SELECT * FROM palisade.flow_edge_minute WHERE bucket >= ${parameters.add(timestampText(query.sinceUs))}::timestamptz AND bucket < ${until}`;
  }
  const since = `${parameters.add(timestampText(Math.floor(query.sinceUs / HOUR_US) * HOUR_US))}::timestamptz`;
  return `SELECT * FROM palisade.flow_edge_hour WHERE bucket >= ${since} AND bucket < ${until}
    UNION ALL SELECT * FROM palisade.flow_edge_minute WHERE part AND bucket >= ${since} AND bucket < ${until}`;
}

async function edgeRows(client: PoolClient, context: TenantContext, query: FlowEdgeQuery): Promise<EdgeRow[]> {
  const parameters = new Parameters();
  const { clusters, namespaces } = context.actor.scope;
  const wanted = query.clusterId !== undefined ? [query.clusterId] : clusters === 'all' ? undefined : clusters;
  const from = relation(query, parameters);
  const parties = namespaces === 'all' ? '' : `(SELECT p.id FROM palisade.flow_peer p WHERE p.namespace = ANY (${parameters.add(namespaces)}::text[]))`;
  const conditions = [
    'true',
    ...(wanted === undefined ? [] : [`e.cluster_id = ANY (${parameters.add(wanted)}::uuid[])`]),
    ...(parties === '' ? [] : [`(e.source_id IN ${parties} OR e.destination_id IN ${parties})`]),
  ];
  const { rows } = await client.query<EdgeRow>(
    `WITH edge AS (
        SELECT source_id, destination_id, port, protocol, verdict, drop_reason, policy_set_id,
          sum(flows) AS flows, sum(packets) AS packets, sum(bytes) AS bytes, sum(reply_packets) AS reply_packets, sum(reply_bytes) AS reply_bytes,
          sum(http_requests) AS http_requests, sum(http_errors) AS http_errors, palisade.flow_sum_histograms(http_latency) FILTER (WHERE http_latency IS NOT NULL) AS http_latency
        FROM (${from}) e WHERE ${conditions.join(' AND ')}
        GROUP BY source_id, destination_id, port, protocol, verdict, drop_reason, policy_set_id)
      SELECT edge.*, count(*) OVER () AS all_edges, sum(flows) OVER () AS all_flows, sum(bytes) OVER () AS all_bytes
      FROM edge ORDER BY bytes + reply_bytes DESC, flows DESC LIMIT ${parameters.add(query.limit)}`,
    parameters.values,
  );
  return rows;
}

interface PartyRow {
  readonly id: number;
  readonly identity: string;
  readonly labels: string[];
  readonly namespace: string | null;
  readonly workload: string | null;
  readonly cluster: string | null;
  readonly dns_names: string[];
}

function party(row: PartyRow): FlowParty {
  return {
    identity: Number(row.identity),
    labels: row.labels,
    ...(row.namespace === null ? {} : { namespace: row.namespace }),
    ...(row.workload === null ? {} : { workload: row.workload }),
    ...(row.cluster === null ? {} : { cluster: row.cluster }),
    ...(row.dns_names.length === 0 ? {} : { dnsNames: row.dns_names }),
  };
}

async function nameEdges(client: PoolClient, rows: readonly EdgeRow[]): Promise<FlowEdge[]> {
  const ids = [...new Set(rows.flatMap((row) => [row.source_id, row.destination_id]))];
  const sets = [...new Set(rows.flatMap((row) => row.policy_set_id ?? []))];
  const parties = new Map(
    (await client.query<PartyRow>('SELECT id, identity, labels, namespace, workload, cluster, dns_names FROM palisade.flow_peer WHERE id = ANY ($1::integer[])', [ids])).rows.map((row) => [row.id, party(row)]),
  );
  const policies = new Map(
    (await client.query<{ id: number; policies: FlowPolicy[] }>('SELECT id, policies FROM palisade.flow_policy_set WHERE id = ANY ($1::integer[])', [sets])).rows.map((row) => [row.id, row.policies]),
  );
  const find = (id: number): FlowParty => {
    const found = parties.get(id);
    if (found === undefined) throw new Error(`Flow party ${id} is missing.`);
    return found;
  };
  return rows.map((row) => edgeOf(row, find, policies));
}

function edgeOf(row: EdgeRow, find: (id: number) => FlowParty, policies: ReadonlyMap<number, readonly FlowPolicy[]>): FlowEdge {
  const dropReason = dropReasonName(row.drop_reason ?? 0);
  const requests = Number(row.http_requests ?? 0);
  return {
    source: find(row.source_id),
    destination: find(row.destination_id),
    port: row.port,
    protocol: row.protocol,
    verdict: verdictName(row.verdict),
    ...(dropReason === undefined ? {} : { dropReason }),
    policies: row.policy_set_id === null ? [] : (policies.get(row.policy_set_id) ?? []),
    flows: Number(row.flows),
    packets: Number(row.packets),
    bytes: Number(row.bytes),
    replyPackets: Number(row.reply_packets),
    replyBytes: Number(row.reply_bytes),
    ...(requests === 0 ? {} : { http: { requests, errors: Number(row.http_errors ?? 0), latency: row.http_latency ?? [] } }),
  };
}
