import type { RolloutRepository, RolloutTarget } from '@palisade/control';
import type { TenantSession } from '../session.ts';

type Delivery = Pick<RolloutRepository, 'assign' | 'withdraw' | 'stragglers' | 'adopted' | 'setAdopted'>;

/** What nodes are meant to run. The gateway hands it out; only the worker writes it. */
export function rolloutDelivery(session: TenantSession): Delivery {
  const { tenantId } = session.context;
  return {
    async assign({ clusterId, rolloutId, target, envelope, nodes }) {
      const ids = nodes.map((node) => node.nodeId);
      const [assignment] = await session.query<{ id: string }>(
        'INSERT INTO palisade.wave_assignments (tenant_id, cluster_id, envelope) VALUES ($1, $2, $3) RETURNING id',
        [tenantId, clusterId, envelope],
      );
      if (rolloutId !== null) await rememberFormer(session, rolloutId, ids);
      await session.execute(
        `INSERT INTO palisade.node_desired (tenant_id, cluster_id, rollout_id, assignment_id, epoch, n, node_id, content_digest, manifest_sha256, leaf_index, proof)
         SELECT $1, $2, $3, $4, $5, $6, v.node_id, v.digest, v.manifest, v.leaf, v.proof
         FROM unnest($7::uuid[], $8::text[], $9::text[], $10::integer[], $11::bytea[]) AS v(node_id, digest, manifest, leaf, proof)
         ON CONFLICT (tenant_id, node_id) DO UPDATE SET rollout_id = EXCLUDED.rollout_id, assignment_id = EXCLUDED.assignment_id, epoch = EXCLUDED.epoch,
           n = EXCLUDED.n, content_digest = EXCLUDED.content_digest, manifest_sha256 = EXCLUDED.manifest_sha256, leaf_index = EXCLUDED.leaf_index,
           proof = EXCLUDED.proof, set_at = now()`,
        [tenantId, clusterId, rolloutId, assignment!.id, target.generation.epoch, target.generation.n, ids, nodes.map((n) => target.byArch[n.arch]!.contentDigest),
          nodes.map((n) => target.byArch[n.arch]!.manifestSha256), nodes.map((n) => n.leafIndex), nodes.map((n) => Buffer.concat(n.path))],
      );
    },
    async withdraw(rolloutId) {
      await session.execute(
        `UPDATE palisade.node_desired d SET (rollout_id, assignment_id, epoch, n, content_digest, manifest_sha256, leaf_index, proof) =
             ROW (p.rollout_id, p.assignment_id, p.epoch, p.n, p.content_digest, p.manifest_sha256, p.leaf_index, p.proof), set_at = now()
         FROM palisade.rollout_nodes r, jsonb_populate_record(NULL::palisade.node_desired, r.previous) p
         WHERE r.tenant_id = $1 AND r.rollout_id = $2 AND r.state = 'offered' AND r.previous IS NOT NULL
           AND d.tenant_id = r.tenant_id AND d.node_id = r.node_id AND d.rollout_id = $2`,
        [tenantId, rolloutId],
      );
      await session.execute(
        `DELETE FROM palisade.node_desired d USING palisade.rollout_nodes r
         WHERE r.tenant_id = $1 AND r.rollout_id = $2 AND r.state = 'offered' AND r.previous IS NULL
           AND d.tenant_id = r.tenant_id AND d.node_id = r.node_id AND d.rollout_id = $2`,
        [tenantId, rolloutId],
      );
      return session.execute(
        "UPDATE palisade.rollout_nodes SET state = 'pending', lease_until = NULL, updated_at = now() WHERE tenant_id = $1 AND rollout_id = $2 AND state = 'offered'",
        [tenantId, rolloutId],
      );
    },
    async stragglers(clusterId, { generation }) {
      const rows = await session.query<{ node_id: string; arch: string }>(
        `SELECT n.id AS node_id, n.arch FROM palisade.nodes n
         LEFT JOIN palisade.node_desired d ON d.tenant_id = n.tenant_id AND d.node_id = n.id
         WHERE n.tenant_id = $1 AND n.cluster_id = $2 AND n.state = 'active' AND (d.node_id IS NULL OR (d.epoch, d.n) < ($3, $4))`,
        [tenantId, clusterId, generation.epoch, generation.n],
      );
      return rows.map((row) => ({ nodeId: row.node_id, arch: row.arch }));
    },
    async adopted(clusterId) {
      const [row] = await session.query<{ epoch: string; n: string; by_arch: RolloutTarget['byArch'] | null }>(
        `SELECT h.adopted_epoch AS epoch, h.adopted_n AS n,
                (SELECT jsonb_object_agg(g.arch, jsonb_build_object('manifestSha256', g.manifest_sha256, 'contentDigest', g.content_digest))
                 FROM palisade.generations g
                 WHERE g.tenant_id = h.tenant_id AND g.cluster_id = h.cluster_id AND g.epoch = h.adopted_epoch AND g.n = h.adopted_n) AS by_arch
         FROM palisade.generation_heads h WHERE h.tenant_id = $1 AND h.cluster_id = $2 AND h.adopted_n IS NOT NULL`,
        [tenantId, clusterId],
      );
      return row === undefined || row.by_arch === null ? undefined : { generation: { epoch: Number(row.epoch), n: Number(row.n) }, byArch: row.by_arch };
    },
    async setAdopted(clusterId, generation) {
      await session.execute('UPDATE palisade.generation_heads SET adopted_epoch = $3, adopted_n = $4 WHERE tenant_id = $1 AND cluster_id = $2', [tenantId, clusterId, generation.epoch, generation.n]);
    },
  };
}

/** Keeps what the nodes were meant to run before, so that an offer can be withdrawn; a second offer keeps the first memory. */
function rememberFormer(session: TenantSession, rolloutId: string, nodeIds: readonly string[]): Promise<number> {
  return session.execute(
    `UPDATE palisade.rollout_nodes r SET previous = COALESCE(to_jsonb(d), r.previous), denied_before = COALESCE(r.denied_before, o.denied_packets)
     FROM unnest($3::uuid[]) AS wanted
     LEFT JOIN palisade.node_desired d ON d.tenant_id = $1 AND d.node_id = wanted AND d.rollout_id IS DISTINCT FROM $2
     LEFT JOIN palisade.node_observations o ON o.tenant_id = $1 AND o.node_id = wanted
     WHERE r.tenant_id = $1 AND r.rollout_id = $2 AND r.node_id = wanted`,
    [session.context.tenantId, rolloutId, nodeIds],
  );
}
