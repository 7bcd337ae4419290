import type { FlowSourceNode, FlowSources } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { Pool } from 'pg';
import { inReadTransaction, timestampText } from './read-transaction.ts';

const MAX_NAMESPACES = 10_000;
const MAX_NODES = 20_000;

/** Reads the ledger: who reported when, and how much. */
export class PostgresFlowSources implements FlowSources {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  nodes(context: TenantContext, sinceUs: number): Promise<readonly FlowSourceNode[]> {
    return inReadTransaction(this.#pool, context, async (client) => {
      const { rows } = await client.query<{ node_id: string; cluster_id: string; name: string | null; last_us: string; since_us: string; stored: string; seen: string }>(
        `SELECT b.node_id, b.cluster_id, (SELECT o.node FROM palisade.flow_observer o WHERE o.node_id = b.node_id ORDER BY o.id DESC LIMIT 1) AS name,
            (extract(epoch FROM max(b.received_at)) * 1000000)::bigint AS last_us,
            (extract(epoch FROM greatest(min(b.window_start), $1::timestamptz)) * 1000000)::bigint AS since_us, sum(b."rows") AS stored, sum(b.seen) AS seen
          FROM palisade.flow_batch b WHERE b.received_at >= $1::timestamptz AND ($2::uuid[] IS NULL OR b.cluster_id = ANY ($2::uuid[]))
          GROUP BY b.node_id, b.cluster_id ORDER BY name, b.node_id LIMIT $3`,
        [timestampText(sinceUs), clustersOf(context), MAX_NODES],
      );
      return rows.map((row) => ({
        nodeId: row.node_id, clusterId: row.cluster_id, name: row.name ?? row.node_id, lastReportUs: Number(row.last_us),
        countedSinceUs: Number(row.since_us), storedFlows: Number(row.stored), seenFlows: Number(row.seen),
      }));
    });
  }

  namespaces(context: TenantContext, sinceUs: number): Promise<readonly { cluster: string; namespace: string }[]> {
    const { namespaces } = context.actor.scope;
    return inReadTransaction(this.#pool, context, async (client) => {
      const { rows } = await client.query<{ cluster: string; namespace: string }>(
        `SELECT DISTINCT coalesce(p.cluster, '') AS cluster, p.namespace FROM palisade.flow_peer p
          WHERE p.namespace IS NOT NULL AND ($3::text[] IS NULL OR p.namespace = ANY ($3::text[])) AND p.id IN (
            SELECT unnest(ARRAY[e.source_id, e.destination_id]) FROM palisade.flow_edge_minute e
            WHERE e.bucket >= $1::timestamptz AND ($2::uuid[] IS NULL OR e.cluster_id = ANY ($2::uuid[])))
          ORDER BY 1, 2 LIMIT $4`,
        [timestampText(sinceUs - 60_000_000), clustersOf(context), namespaces === 'all' ? null : namespaces, MAX_NAMESPACES],
      );
      return rows;
    });
  }
}

function clustersOf({ actor }: TenantContext): readonly string[] | null {
  return actor.scope.clusters === 'all' ? null : actor.scope.clusters;
}
