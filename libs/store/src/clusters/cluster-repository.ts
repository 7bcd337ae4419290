import type { Cluster, ClusterRepository, ClusterSettings } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import { pageOf } from '../page.ts';
import type { TenantSession } from '../session.ts';
import { violatesUnique } from '../sql-state.ts';

interface ClusterRow {
  readonly id: string;
  readonly name: string;
  readonly settings: ClusterSettings;
  readonly policy_revision: number;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const COLUMNS = 'id, name, settings, policy_revision, version, created_at, updated_at';

export function postgresClusters(session: TenantSession): ClusterRepository {
  const { tenantId } = session.context;
  const findOne = async (id: string, lock: string): Promise<Cluster | undefined> => {
    const [row] = await session.query<ClusterRow>(`SELECT ${COLUMNS} FROM palisade.clusters WHERE tenant_id = $1 AND id = $2 ${lock}`, [tenantId, id]);
    return row && toCluster(row);
  };
  return {
    insert: ({ name, settings }) =>
      withUniqueName(name, async () => {
        const rows = await session.query<ClusterRow>(
          `INSERT INTO palisade.clusters (tenant_id, name, settings) VALUES ($1, $2, $3) RETURNING ${COLUMNS}`,
          [tenantId, name, JSON.stringify(settings)],
        );
        return toCluster(rows[0] as ClusterRow);
      }),
    find: (id) => findOne(id, ''),
    findForUpdate: (id) => findOne(id, 'FOR NO KEY UPDATE'),
    async list({ limit, after, ids }) {
      const rows = await session.query<ClusterRow>(
        `SELECT ${COLUMNS} FROM palisade.clusters
         WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id > $2) AND ($3::uuid[] IS NULL OR id = ANY ($3))
         ORDER BY id LIMIT $4`,
        [tenantId, after ?? null, ids ?? null, limit + 1],
      );
      return pageOf(rows.map(toCluster), limit, (cluster) => cluster.id);
    },
    update: (id, { name, settings }) =>
      withUniqueName(name ?? '', async () => {
        const [row] = await session.query<ClusterRow>(
          `UPDATE palisade.clusters
           SET name = COALESCE($3, name), settings = COALESCE($4, settings), version = version + 1, updated_at = now()
           WHERE tenant_id = $1 AND id = $2 RETURNING ${COLUMNS}`,
          [tenantId, id, name ?? null, settings === undefined ? null : JSON.stringify(settings)],
        );
        if (row === undefined) throw new DomainError('resource.not-found', `There is no cluster ${id}.`);
        return toCluster(row);
      }),
  };
}

async function withUniqueName<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!violatesUnique(error, 'clusters_name')) throw error;
    throw new DomainError('resource.conflict', `There is already a cluster called ${name}: choose another name.`, { pointer: '/name', cause: error });
  }
}

function toCluster(row: ClusterRow): Cluster {
  return {
    id: row.id,
    name: row.name,
    settings: row.settings,
    policyRevision: row.policy_revision,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
