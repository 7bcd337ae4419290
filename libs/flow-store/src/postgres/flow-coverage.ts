import { FLOW_LOSS_REASONS, totalLost, type FlowCoverage, type FlowLosses } from '@palisade/flow';
import type { FlowQuery } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { PoolClient } from 'pg';
import { timestampText } from './read-transaction.ts';

/** What the agents of the scope say they lost or left out while the window was seen. */
export async function readCoverage(client: PoolClient, context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'sinceUs' | 'untilUs'>): Promise<FlowCoverage> {
  const { clusters } = context.actor.scope;
  const wanted = query.clusterId !== undefined ? [query.clusterId] : clusters === 'all' ? null : clusters;
  const { rows } = await client.query<{ sampled: string; losses: Record<string, string> | null }>(
    `WITH incomplete AS (
        SELECT sampled, losses FROM palisade.flow_batch
        WHERE incomplete AND window_end >= $1::timestamptz AND window_start < $2::timestamptz AND ($3::uuid[] IS NULL OR cluster_id = ANY ($3::uuid[])))
      SELECT (SELECT coalesce(sum(sampled), 0) FROM incomplete) AS sampled,
        (SELECT jsonb_object_agg(key, total::text) FROM (SELECT l.key, sum(l.value::bigint) AS total FROM incomplete, jsonb_each_text(losses) l GROUP BY l.key) t) AS losses`,
    [timestampText(query.sinceUs), timestampText(query.untilUs), wanted],
  );
  const sampled = Number(rows[0]?.sampled ?? 0);
  const losses: FlowLosses = Object.fromEntries(FLOW_LOSS_REASONS.flatMap((reason) => (rows[0]?.losses?.[reason] === undefined ? [] : [[reason, Number(rows[0].losses[reason])]])));
  const lost = totalLost(losses);
  return { complete: lost === 0 && sampled === 0, lost, sampled, losses };
}
