import type { LocalAct, LocalActRepository } from '@palisade/control';
import type { TenantSession } from '../session.ts';

interface ActRow {
  readonly id: string;
  readonly name: string;
  readonly audited_act_ms: string;
  readonly acts: readonly LocalAct[];
}

export function postgresLocalActs(session: TenantSession): LocalActRepository {
  const { tenantId } = session.context;
  return {
    async unaudited(clusterId) {
      const rows = await session.query<ActRow>(
        `SELECT n.id, n.name, n.audited_act_ms, o.observed->'localActs' AS acts FROM palisade.node_observations o
         JOIN palisade.nodes n ON n.tenant_id = o.tenant_id AND n.id = o.node_id
         WHERE o.tenant_id = $1 AND o.cluster_id = $2 AND jsonb_typeof(o.observed->'localActs') = 'array'
           AND EXISTS (SELECT 1 FROM jsonb_array_elements(o.observed->'localActs') act WHERE (act->>'atMs')::bigint > n.audited_act_ms)
         ORDER BY n.id LIMIT 500 FOR NO KEY UPDATE OF n`,
        [tenantId, clusterId],
      );
      return rows.map((row) => ({ nodeId: row.id, nodeName: row.name, auditedUntilMs: Number(row.audited_act_ms), acts: row.acts }));
    },
    async markAudited(nodeId, untilMs) {
      await session.execute('UPDATE palisade.nodes SET audited_act_ms = $3 WHERE tenant_id = $1 AND id = $2', [tenantId, nodeId, untilMs]);
    },
  };
}
