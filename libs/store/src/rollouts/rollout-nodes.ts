import type { RolloutNode, RolloutRepository } from '@palisade/control';
import type { NodeProgress, NodeRolloutState } from '@palisade/rollout';
import { pageOf } from '../page.ts';
import type { TenantSession } from '../session.ts';

interface ProgressRow {
  readonly node_id: string;
  readonly state: NodeRolloutState;
  readonly lease_until: Date | null;
  readonly reason: string | null;
}

type NodePart = Pick<RolloutRepository, 'listNodes' | 'fleet' | 'waiting' | 'quarantined' | 'silent' | 'expired' | 'reported' | 'storeNodes' | 'supersedeNodes'>;

const PROGRESS = 'n.node_id, n.state, n.lease_until, n.reason';
/** Held check-ins end within a minute, so that a node not seen for `$x` ms is gone. */
const ONLINE = (parameter: string) => `COALESCE(o.seen_at > now() - make_interval(secs => ${parameter} / 1000.0), false)`;

export function rolloutNodes(session: TenantSession): NodePart {
  const { tenantId } = session.context;
  return {
    async listNodes(rolloutId, { limit, after, state }) {
      const rows = await session.query<ProgressRow & { name: string; wave_index: number; updated_at: Date }>(
        `SELECT ${PROGRESS}, d.name, n.wave_index, n.updated_at FROM palisade.rollout_nodes n
         JOIN palisade.nodes d ON d.tenant_id = n.tenant_id AND d.id = n.node_id
         WHERE n.tenant_id = $1 AND n.rollout_id = $2 AND ($3::uuid IS NULL OR n.node_id > $3) AND ($4::text IS NULL OR n.state = $4)
         ORDER BY n.node_id LIMIT $5`,
        [tenantId, rolloutId, after ?? null, state ?? null, limit + 1],
      );
      const nodes = rows.map((row): RolloutNode => ({ ...toProgress(row), nodeName: row.name, waveIndex: row.wave_index, updatedAt: row.updated_at }));
      return pageOf(nodes, limit, (node) => node.nodeId);
    },
    fleet(clusterId, onlineMs) {
      return session.query(
        `SELECT n.id, n.arch, n.labels, ${ONLINE('$3')} AS online FROM palisade.nodes n
         LEFT JOIN palisade.node_observations o ON o.tenant_id = n.tenant_id AND o.node_id = n.id
         WHERE n.tenant_id = $1 AND n.cluster_id = $2 AND n.state = 'active'`,
        [tenantId, clusterId, onlineMs],
      );
    },
    async waiting(rolloutId, waveIndex, onlineMs) {
      const rows = await session.query<ProgressRow & { arch: string; online: boolean }>(
        `SELECT ${PROGRESS}, d.arch, ${ONLINE('$4')} AND d.state = 'active' AS online FROM palisade.rollout_nodes n
         JOIN palisade.nodes d ON d.tenant_id = n.tenant_id AND d.id = n.node_id
         LEFT JOIN palisade.node_observations o ON o.tenant_id = n.tenant_id AND o.node_id = n.node_id
         WHERE n.tenant_id = $1 AND n.rollout_id = $2 AND n.wave_index = $3 AND n.state = 'pending'`,
        [tenantId, rolloutId, waveIndex, onlineMs],
      );
      return rows.map((row) => ({ ...toProgress(row), arch: row.arch, online: row.online }));
    },
    async quarantined(rolloutId) {
      const rows = await session.query<ProgressRow & { node_state: 'locked' | 'revoked' }>(
        `SELECT ${PROGRESS}, d.state AS node_state FROM palisade.rollout_nodes n
         JOIN palisade.rollout_waves w ON w.tenant_id = n.tenant_id AND w.rollout_id = n.rollout_id AND w.index = n.wave_index AND w.state IN ('open', 'baking')
         JOIN palisade.nodes d ON d.tenant_id = n.tenant_id AND d.id = n.node_id AND d.state <> 'active'
         WHERE n.tenant_id = $1 AND n.rollout_id = $2 AND n.state IN ('pending', 'offered', 'verified', 'loaded', 'timed_out')`,
        [tenantId, rolloutId],
      );
      return rows.map((row) => ({ ...toProgress(row), nodeState: row.node_state }));
    },
    async silent(rolloutId) {
      const rows = await session.query<ProgressRow>(`SELECT ${PROGRESS} FROM palisade.rollout_nodes n WHERE n.tenant_id = $1 AND n.rollout_id = $2 AND n.state = 'timed_out'`, [tenantId, rolloutId]);
      return rows.map(toProgress);
    },
    async expired(rolloutId) {
      const rows = await session.query<ProgressRow>(
        `SELECT ${PROGRESS} FROM palisade.rollout_nodes n
         WHERE n.tenant_id = $1 AND n.rollout_id = $2 AND n.state IN ('offered', 'verified', 'loaded') AND n.lease_until <= now()`,
        [tenantId, rolloutId],
      );
      return rows.map(toProgress);
    },
    async reported(rolloutId, limit) {
      const rows = await session.query<ProgressRow & { wave_index: number; arch: string; change_count: string; signed: Buffer | null; public_key: Buffer; heard_boot: string; heard_sequence: string }>(
        `SELECT ${PROGRESS}, n.wave_index, d.arch, d.public_key, o.change_count, o.signed, n.heard_boot, n.heard_sequence FROM palisade.rollout_nodes n
         JOIN palisade.rollout_waves w ON w.tenant_id = n.tenant_id AND w.rollout_id = n.rollout_id AND w.index = n.wave_index AND w.state <> 'pending'
         JOIN palisade.node_observations o ON o.tenant_id = n.tenant_id AND o.node_id = n.node_id AND o.change_count <> n.seen_change
         JOIN palisade.nodes d ON d.tenant_id = n.tenant_id AND d.id = n.node_id
         WHERE n.tenant_id = $1 AND n.rollout_id = $2 LIMIT $3`,
        [tenantId, rolloutId, limit],
      );
      return rows.map((row) => ({
        ...toProgress(row),
        waveIndex: row.wave_index,
        arch: row.arch,
        change: Number(row.change_count),
        envelope: row.signed,
        publicKey: row.public_key,
        heard: { boot: Number(row.heard_boot), sequence: Number(row.heard_sequence) },
      }));
    },
    async storeNodes(rolloutId, nodes) {
      if (nodes.length === 0) return;
      await session.execute(
        `UPDATE palisade.rollout_nodes n SET state = v.state, lease_until = to_timestamp(v.lease / 1000.0), reason = v.reason, updated_at = now(),
           -- What a node that is offered (again) has said last is read (again): it may run the generation already.
           seen_change = CASE WHEN v.state = 'offered' AND n.state <> 'offered' THEN 0 ELSE COALESCE(v.change, n.seen_change) END,
           offered_at = CASE WHEN v.state = 'offered' AND n.state <> 'offered' THEN now() ELSE n.offered_at END,
           heard_boot = COALESCE(v.boot, n.heard_boot), heard_sequence = COALESCE(v.sequence, n.heard_sequence)
         FROM unnest($3::uuid[], $4::text[], $5::double precision[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[]) AS v(node_id, state, lease, reason, change, boot, sequence)
         WHERE n.tenant_id = $1 AND n.rollout_id = $2 AND n.node_id = v.node_id`,
        [tenantId, rolloutId, nodes.map((n) => n.nodeId), nodes.map((n) => n.state), nodes.map((n) => n.leaseUntilMs), nodes.map((n) => n.reason?.slice(0, 8192) ?? null), nodes.map((n) => n.change ?? null), nodes.map((n) => n.heard?.boot ?? null), nodes.map((n) => n.heard?.sequence ?? null)],
      );
    },
    supersedeNodes(rolloutId) {
      return session.execute(
        `UPDATE palisade.rollout_nodes SET state = 'superseded', lease_until = NULL, reason = 'A newer rollout took this node.', updated_at = now()
         WHERE tenant_id = $1 AND rollout_id = $2 AND state IN ('pending', 'offered', 'verified', 'loaded')`,
        [tenantId, rolloutId],
      );
    },
  };
}

function toProgress(row: ProgressRow): NodeProgress & { readonly nodeId: string } {
  return { nodeId: row.node_id, state: row.state, leaseUntilMs: row.lease_until?.getTime() ?? null, reason: row.reason };
}
