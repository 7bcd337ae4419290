import type { DenyDeltaSource } from '@palisade/control';
import { denyDelta, type DenyDelta, type DenyWindow } from '@palisade/rollout';
import type { DataSource } from 'typeorm';
import { inTenantTransaction } from '../transactions.ts';

/** The baseline: this long before the wave opened. The window after it grows to the same length. */
const WINDOW_SECONDS = 60;
const DROPPED = 2;

interface SideRow {
  readonly side: 'updated' | 'others';
  readonly nodes: number;
  readonly reporting: number;
  readonly before: number;
  readonly after: number;
  readonly seconds_after: number;
}

/**
 * Dropped packets in the stored flows, of the nodes of the wave that is open and of those that no wave has reached.
 * `reporting`: nodes that delivered a batch of flows since the wave opened.
 */
const SIDES = `
  WITH wave AS (
    SELECT w.index, w.opened_at, LEAST(extract(epoch FROM now() - w.opened_at), $3)::float8 AS seconds_after, r.cluster_id
    FROM palisade.rollout_waves w JOIN palisade.rollouts r ON r.tenant_id = w.tenant_id AND r.id = w.rollout_id
    WHERE w.tenant_id = $1 AND w.rollout_id = $2 AND w.state IN ('open', 'baking') ORDER BY w.index LIMIT 1),
  members AS (
    SELECT n.id AS node_id, CASE WHEN rn.wave_index = wave.index THEN 'updated' WHEN rn.wave_index IS NULL OR rn.wave_index > wave.index THEN 'others' END AS side
    FROM wave JOIN palisade.nodes n ON n.tenant_id = $1 AND n.cluster_id = wave.cluster_id AND n.state = 'active'
    LEFT JOIN palisade.rollout_nodes rn ON rn.tenant_id = $1 AND rn.rollout_id = $2 AND rn.node_id = n.id),
  denied AS (
    SELECT o.node_id, sum(f.packets * COALESCE(f.weight, 1)) FILTER (WHERE f.last_seen < wave.opened_at) AS before,
           sum(f.packets * COALESCE(f.weight, 1)) FILTER (WHERE f.last_seen >= now() - make_interval(secs => wave.seconds_after)) AS after
    FROM wave, palisade.flow f JOIN palisade.flow_observer o ON o.tenant_id = f.tenant_id AND o.id = f.observer_id
    WHERE f.tenant_id = $1 AND f.verdict = ${DROPPED} AND f.last_seen >= wave.opened_at - make_interval(secs => $3)
    GROUP BY o.node_id),
  heard AS (
    SELECT DISTINCT b.node_id FROM wave, palisade.flow_batch b WHERE b.tenant_id = $1 AND b.cluster_id = wave.cluster_id AND b.received_at >= wave.opened_at)
  SELECT m.side, count(*)::int AS nodes, count(h.node_id)::int AS reporting, COALESCE(sum(d.before), 0)::float8 AS before, COALESCE(sum(d.after), 0)::float8 AS after,
         max(wave.seconds_after) AS seconds_after
  FROM wave CROSS JOIN members m LEFT JOIN denied d USING (node_id) LEFT JOIN heard h USING (node_id)
  WHERE m.side IS NOT NULL GROUP BY m.side`;

/** Deny-delta of the open wave from the stored flows (trust-and-fleet §3). */
export function flowDenyDelta(source: DataSource): DenyDeltaSource {
  return {
    measure: (context, rolloutId): Promise<DenyDelta> =>
      inTenantTransaction(source, context, async (session) => {
        const rows = await session.query<SideRow>(SIDES, [context.tenantId, rolloutId, WINDOW_SECONDS]);
        const updated = rows.find((row) => row.side === 'updated');
        const others = rows.find((row) => row.side === 'others');
        if (updated === undefined) return { kind: 'unmeasured', why: 'no wave is open' };
        if (updated.reporting === 0) return { kind: 'unmeasured', why: 'no updated node has delivered flows since the wave opened' };
        return denyDelta({
          updatedBefore: before(updated),
          updatedAfter: after(updated),
          othersBefore: others === undefined ? null : before(others),
          othersAfter: others === undefined ? null : after(others),
        });
      }),
  };
}

function before(row: SideRow): DenyWindow {
  return { nodes: row.nodes, deniedPackets: row.before, seconds: WINDOW_SECONDS };
}

function after(row: SideRow): DenyWindow {
  return { nodes: row.nodes, deniedPackets: row.after, seconds: row.seconds_after };
}
