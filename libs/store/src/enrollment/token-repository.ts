import type { EnrollmentToken, EnrollmentTokenRepository } from '@palisade/control';
import { pageOf } from '../page.ts';
import type { TenantSession } from '../session.ts';

interface TokenRow {
  readonly id: string;
  readonly cluster_id: string;
  readonly public_id: string;
  readonly name: string;
  readonly secret_hash: Buffer;
  readonly max_uses: number;
  readonly uses: number;
  readonly expires_at: Date;
  readonly revoked_at: Date | null;
  readonly labels: Record<string, string>;
  readonly required_attestation: string | null;
  readonly created_by: string;
  readonly created_at: Date;
  readonly last_used_at: Date | null;
  readonly last_node_id: string | null;
}

const UUID = /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

export function postgresEnrollmentTokens(session: TenantSession): EnrollmentTokenRepository {
  const { tenantId } = session.context;
  return {
    async insert(token) {
      const [row] = await session.query<TokenRow>(
        `INSERT INTO palisade.enrollment_tokens
           (tenant_id, cluster_id, public_id, name, secret_hash, max_uses, expires_at, labels, required_attestation, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7), $8, $9, $10) RETURNING *`,
        [tenantId, token.clusterId, token.publicId, token.name, token.secretHash, token.maxUses, token.lifetimeSeconds, JSON.stringify(token.labels), token.requiredAttestation, token.createdBy],
      );
      return toToken(row!);
    },
    async list(clusterId, { limit, after }) {
      const rows = await session.query<TokenRow>(
        `SELECT * FROM palisade.enrollment_tokens
         WHERE tenant_id = $1 AND cluster_id = $2 AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT $4`,
        [tenantId, clusterId, after ?? null, limit + 1],
      );
      return pageOf(rows.map(toToken), limit, (token) => token.id);
    },
    async find(id) {
      const [row] = await session.query<TokenRow>('SELECT * FROM palisade.enrollment_tokens WHERE tenant_id = $1 AND id = $2', [tenantId, id]);
      return row && { ...toToken(row), secretHash: row.secret_hash };
    },
    async revoke(clusterId, id) {
      if (!UUID.test(id)) return undefined;
      const [row] = await session.query<TokenRow>(
        `UPDATE palisade.enrollment_tokens SET revoked_at = COALESCE(revoked_at, now())
         WHERE tenant_id = $1 AND cluster_id = $2 AND id = $3 RETURNING *`,
        [tenantId, clusterId, id],
      );
      return row && toToken(row);
    },
    async claim(id, wanted) {
      const [row] = await session.query<{ claimed: number }>(
        `UPDATE palisade.enrollment_tokens t SET uses = LEAST(t.max_uses, t.uses + $3), last_used_at = now()
         WHERE t.tenant_id = $1 AND t.id = $2 AND t.uses < t.max_uses AND t.revoked_at IS NULL AND t.expires_at > now()
         RETURNING new.uses - old.uses AS claimed`,
        [tenantId, id, wanted],
      );
      return row?.claimed ?? 0;
    },
    async recordUse(id, nodeId) {
      await session.execute('UPDATE palisade.enrollment_tokens SET last_node_id = $3 WHERE tenant_id = $1 AND id = $2', [tenantId, id, nodeId]);
    },
  };
}

function toToken(row: TokenRow): EnrollmentToken {
  return {
    id: row.id,
    clusterId: row.cluster_id,
    publicId: row.public_id,
    name: row.name,
    maxUses: row.max_uses,
    uses: row.uses,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    labels: row.labels,
    requiredAttestation: row.required_attestation,
    createdBy: row.created_by,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
    lastNodeId: row.last_node_id,
  };
}
