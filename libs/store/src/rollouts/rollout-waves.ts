import type { RolloutRepository, RolloutWave } from '@palisade/control';
import { NODE_ROLLOUT_STATES, type NodeCounts, type WaveState } from '@palisade/rollout';
import type { TenantSession } from '../session.ts';

const NONE = Object.fromEntries(NODE_ROLLOUT_STATES.map((state) => [state, 0])) as unknown as NodeCounts;

interface WaveRow {
  readonly index: number;
  readonly name: string;
  readonly size: number;
  readonly state: WaveState;
  readonly opened_at: Date | null;
  readonly baking_since: Date | null;
  readonly reason: string | null;
  readonly counts: Partial<NodeCounts> | null;
}

export function rolloutWaves(session: TenantSession): Pick<RolloutRepository, 'insertWaves' | 'listWaves' | 'swapWave'> {
  const { tenantId } = session.context;
  return {
    async insertWaves(rolloutId, waves) {
      for (const [index, wave] of waves.entries()) {
        await session.execute('INSERT INTO palisade.rollout_waves (tenant_id, rollout_id, index, name, size) VALUES ($1, $2, $3, $4, $5)', [tenantId, rolloutId, index, wave.name, wave.nodeIds.length]);
        await session.execute('INSERT INTO palisade.rollout_nodes (tenant_id, rollout_id, node_id, wave_index) SELECT $1, $2, node, $3 FROM unnest($4::uuid[]) AS node', [tenantId, rolloutId, index, wave.nodeIds]);
      }
    },
    async listWaves(rolloutId) {
      const rows = await session.query<WaveRow>(
        `SELECT w.index, w.name, w.size, w.state, w.opened_at, w.baking_since, w.reason, c.counts
         FROM palisade.rollout_waves w
         LEFT JOIN (SELECT wave_index, jsonb_object_agg(state, n) AS counts
                    FROM (SELECT wave_index, state, count(*) AS n FROM palisade.rollout_nodes
                          WHERE tenant_id = $1 AND rollout_id = $2 GROUP BY wave_index, state) s GROUP BY wave_index) c ON c.wave_index = w.index
         WHERE w.tenant_id = $1 AND w.rollout_id = $2 ORDER BY w.index`,
        [tenantId, rolloutId],
      );
      return rows.map((row): RolloutWave => ({
        index: row.index,
        name: row.name,
        size: row.size,
        state: row.state,
        openedAtMs: row.opened_at?.getTime() ?? null,
        bakingSinceMs: row.baking_since?.getTime() ?? null,
        reason: row.reason,
        counts: { ...NONE, ...row.counts },
      }));
    },
    async swapWave(rolloutId, index, from, progress, reason) {
      const swapped = await session.execute(
        `UPDATE palisade.rollout_waves SET state = $5, opened_at = to_timestamp($6 / 1000.0), baking_since = to_timestamp($7 / 1000.0), reason = $8,
           settled_at = CASE WHEN $5 IN ('passed', 'failed') THEN now() END
         WHERE tenant_id = $1 AND rollout_id = $2 AND index = $3 AND state = $4`,
        [tenantId, rolloutId, index, from, progress.state, progress.openedAtMs, progress.bakingSinceMs, reason],
      );
      return swapped === 1;
    },
  };
}
