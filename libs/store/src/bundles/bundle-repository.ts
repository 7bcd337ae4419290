import type { BundleRecord, BundleRepository } from '@palisade/control';
import { pageOf } from '../page.ts';
import type { TenantSession } from '../session.ts';

interface BundleRow {
  readonly id: string;
  readonly cluster_id: string;
  readonly content_digests: Record<string, string>;
  readonly policy_revision: string;
  readonly shadow_policy_revision: string | null;
  readonly policy_sha256: string;
  readonly shadow_policy_sha256: string | null;
  readonly content: unknown;
  readonly created_at: Date;
}

const COLUMNS = 'b.id, b.cluster_id, b.content_digests, b.policy_revision, b.shadow_policy_revision, b.policy_sha256, b.shadow_policy_sha256, b.content, b.created_at';

export function postgresBundles(session: TenantSession): BundleRepository {
  const { tenantId } = session.context;
  return {
    async upsert(bundle) {
      const key = [tenantId, bundle.clusterId, JSON.stringify(bundle.contentDigests), bundle.policyRevision, bundle.shadowPolicyRevision];
      await session.execute(
        `INSERT INTO palisade.bundles (tenant_id, cluster_id, content_digests, policy_revision, shadow_policy_revision, policy_sha256, shadow_policy_sha256, content)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT ON CONSTRAINT bundles_content DO NOTHING`,
        [...key, bundle.policySha256, bundle.shadowPolicySha256, JSON.stringify(bundle.content)],
      );
      const [row] = await session.query<BundleRow>(
        `SELECT ${COLUMNS} FROM palisade.bundles b WHERE b.tenant_id = $1 AND b.cluster_id = $2 AND b.content_digests = $3::jsonb AND b.policy_revision = $4 AND b.shadow_policy_revision IS NOT DISTINCT FROM $5`,
        key,
      );
      return toBundle(row!);
    },
    async find(id) {
      const [row] = await session.query<BundleRow>(`SELECT ${COLUMNS} FROM palisade.bundles b WHERE b.tenant_id = $1 AND b.id = $2`, [tenantId, id]);
      return row && toBundle(row);
    },
    async list(clusterId, { limit, after }) {
      const rows = await session.query<BundleRow & { generations: string[] | null }>(
        `SELECT ${COLUMNS}, (SELECT array_agg(DISTINCT g.epoch || '.' || g.n) FROM palisade.generations g
           WHERE g.tenant_id = b.tenant_id AND g.bundle_id = b.id) AS generations
         FROM palisade.bundles b WHERE b.tenant_id = $1 AND b.cluster_id = $2 AND ($3::uuid IS NULL OR b.id < $3) ORDER BY b.id DESC LIMIT $4`,
        [tenantId, clusterId, after ?? null, limit + 1],
      );
      return pageOf(rows.map((row) => ({ ...toBundle(row), generations: row.generations ?? [] })), limit, (bundle) => bundle.id);
    },
    async storeBlob(sha256, bytes) {
      await session.execute('INSERT INTO palisade.blobs (tenant_id, sha256, bytes) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', [tenantId, sha256, bytes]);
    },
    async readBlob(sha256) {
      const [row] = await session.query<{ bytes: Buffer }>('SELECT bytes FROM palisade.blobs WHERE tenant_id = $1 AND sha256 = $2', [tenantId, sha256]);
      return row?.bytes;
    },
    async nextGeneration(clusterId) {
      const [row] = await session.query<{ epoch: string; n: string }>(
        `INSERT INTO palisade.generation_heads (tenant_id, cluster_id, n) VALUES ($1, $2, 1)
         ON CONFLICT (tenant_id, cluster_id) DO UPDATE SET n = palisade.generation_heads.n + 1 RETURNING epoch, n`,
        [tenantId, clusterId],
      );
      return { epoch: Number(row!.epoch), n: Number(row!.n) };
    },
    async storeGeneration(clusterId, sealed) {
      await session.execute(
        `INSERT INTO palisade.generations (tenant_id, cluster_id, epoch, n, arch, bundle_id, content_digest, manifest_sha256, manifest, minimum_identity_revision, revert_of, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
        [tenantId, clusterId, sealed.generation.epoch, sealed.generation.n, sealed.arch, sealed.bundleId, sealed.contentDigest, sealed.manifestSha256, sealed.manifest,
          sealed.minimumIdentityRevision, sealed.revertOf, sealed.expiresAt],
      );
    },
  };
}

/** What sealing reads besides: how far the identity stream is, and which architectures the cluster has. */
export function postgresDelivery(session: TenantSession) {
  const { tenantId } = session.context;
  return {
    async identityRevision(clusterId: string): Promise<number> {
      const [row] = await session.query<{ revision: string }>('SELECT revision FROM palisade.identity_heads WHERE tenant_id = $1 AND cluster_id = $2', [tenantId, clusterId]);
      return Number(row?.revision ?? 0);
    },
    async arches(clusterId: string): Promise<readonly string[]> {
      const rows = await session.query<{ arch: string }>("SELECT DISTINCT arch FROM palisade.nodes WHERE tenant_id = $1 AND cluster_id = $2 AND state = 'active'", [tenantId, clusterId]);
      return rows.map((row) => row.arch).sort();
    },
  };
}

function toBundle(row: BundleRow): BundleRecord {
  return {
    id: row.id,
    clusterId: row.cluster_id,
    contentDigests: row.content_digests,
    policyRevision: Number(row.policy_revision),
    shadowPolicyRevision: row.shadow_policy_revision === null ? null : Number(row.shadow_policy_revision),
    policySha256: row.policy_sha256,
    shadowPolicySha256: row.shadow_policy_sha256,
    content: row.content,
    createdAt: row.created_at,
  };
}
