import type { EpochRepository } from '@palisade/control';
import type { TenantSession } from '../session.ts';

export function postgresEpochs(session: TenantSession): EpochRepository {
  const { tenantId } = session.context;
  return {
    async open(clusterId, epoch, envelope) {
      const [cluster] = await session.query('SELECT 1 FROM palisade.clusters WHERE tenant_id = $1 AND id = $2', [tenantId, clusterId]);
      if (cluster === undefined) return false;
      const moved = await session.execute(
        `INSERT INTO palisade.generation_heads AS h (tenant_id, cluster_id, epoch, n) VALUES ($1, $2, $3, 0)
         ON CONFLICT (tenant_id, cluster_id) DO UPDATE SET epoch = EXCLUDED.epoch, n = 0 WHERE h.epoch < EXCLUDED.epoch`,
        [tenantId, clusterId, epoch],
      );
      if (moved === 0) return false;
      await session.execute('INSERT INTO palisade.epoch_recoveries (tenant_id, cluster_id, epoch, envelope) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING', [tenantId, clusterId, epoch, envelope]);
      // Nothing of the old stream connects to the new epoch. A revision of 0 makes the next run sign a snapshot.
      await session.execute('DELETE FROM palisade.identity_stream WHERE tenant_id = $1 AND cluster_id = $2', [tenantId, clusterId]);
      await session.execute('UPDATE palisade.identity_heads SET epoch = $3, revision = 0, snapshot_revision = 0, signed_by = NULL WHERE tenant_id = $1 AND cluster_id = $2', [tenantId, clusterId, epoch]);
      await session.execute('INSERT INTO palisade.identity_heads (tenant_id, cluster_id, epoch) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', [tenantId, clusterId, epoch]);
      return true;
    },
  };
}
