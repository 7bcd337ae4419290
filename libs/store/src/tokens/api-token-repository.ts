import type { ApiToken, ApiTokenRepository, TokenCredentials, TokenDirectory } from '@palisade/control';
import { parseTenantId, systemContext, type Role, type Scope } from '@palisade/tenancy';
import type { DataSource } from 'typeorm';
import { pageOf } from '../page.ts';
import type { TenantSession } from '../session.ts';
import { inTenantTransaction, systemStatement } from '../transactions.ts';

interface ScopeColumns {
  readonly clusters: readonly string[] | null;
  readonly namespaces: readonly string[] | null;
}

interface TokenRow extends ScopeColumns {
  readonly id: string;
  readonly public_id: string;
  readonly name: string;
  readonly roles: readonly Role[];
  readonly created_by: string;
  readonly created_at: Date;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
  readonly last_used_at: Date | null;
}

interface CredentialsRow extends ScopeColumns {
  readonly tenant_id: string;
  readonly id: string;
  readonly name: string;
  readonly secret_hash: Buffer;
  readonly roles: readonly Role[];
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
  readonly last_used_at: Date | null;
  readonly suspended_at: Date | null;
}

const COLUMNS = 'id, public_id, name, roles, clusters, namespaces, created_by, created_at, expires_at, revoked_at, last_used_at';

export function postgresApiTokens(session: TenantSession): ApiTokenRepository {
  const { tenantId } = session.context;
  return {
    async insert(token) {
      const [row] = await session.query<TokenRow>(
        `INSERT INTO palisade.api_tokens (tenant_id, public_id, name, secret_hash, roles, clusters, namespaces, created_by, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING ${COLUMNS}`,
        [
          tenantId,
          token.publicId,
          token.name,
          token.secretHash,
          token.roles,
          scopeColumn(token.scope.clusters),
          scopeColumn(token.scope.namespaces),
          token.createdBy,
          token.expiresAt ?? null,
        ],
      );
      return toToken(row as TokenRow);
    },
    async find(id) {
      const [row] = await session.query<TokenRow>(`SELECT ${COLUMNS} FROM palisade.api_tokens WHERE tenant_id = $1 AND id = $2`, [tenantId, id]);
      return row && toToken(row);
    },
    async list({ limit, after }) {
      const rows = await session.query<TokenRow>(
        `SELECT ${COLUMNS} FROM palisade.api_tokens WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3`,
        [tenantId, after ?? null, limit + 1],
      );
      return pageOf(rows.map(toToken), limit, ({ id }) => id);
    },
    async revoke(id) {
      const revoked = await session.execute('UPDATE palisade.api_tokens SET revoked_at = now() WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL', [tenantId, id]);
      return revoked > 0;
    },
  };
}

export function postgresTokenDirectory(source: DataSource): TokenDirectory {
  return {
    async find(publicId) {
      const [row] = await systemStatement<CredentialsRow>(source, 'SELECT * FROM palisade.find_api_token($1)', [publicId]);
      return row && toCredentials(row);
    },
    async touch(tenantId, id) {
      await inTenantTransaction(source, systemContext(tenantId, 'api/authentication'), (session) =>
        session.execute('UPDATE palisade.api_tokens SET last_used_at = now() WHERE tenant_id = $1 AND id = $2', [tenantId, id]),
      );
    },
  };
}

function toToken(row: TokenRow): ApiToken {
  return {
    id: row.id,
    publicId: row.public_id,
    name: row.name,
    roles: row.roles,
    scope: toScope(row),
    createdBy: row.created_by,
    createdAt: row.created_at,
    ...(row.expires_at === null ? {} : { expiresAt: row.expires_at }),
    ...(row.revoked_at === null ? {} : { revokedAt: row.revoked_at }),
    ...(row.last_used_at === null ? {} : { lastUsedAt: row.last_used_at }),
  };
}

function toCredentials(row: CredentialsRow): TokenCredentials {
  return {
    tenantId: parseTenantId(row.tenant_id),
    id: row.id,
    name: row.name,
    secretHash: row.secret_hash,
    roles: row.roles,
    scope: toScope(row),
    ...(row.expires_at === null ? {} : { expiresAt: row.expires_at }),
    ...(row.revoked_at === null ? {} : { revokedAt: row.revoked_at }),
    ...(row.last_used_at === null ? {} : { lastUsedAt: row.last_used_at }),
    ...(row.suspended_at === null ? {} : { tenantSuspendedAt: row.suspended_at }),
  };
}

/** NULL stands for all, an empty list for none. */
function toScope(row: ScopeColumns): Scope {
  return { clusters: row.clusters ?? 'all', namespaces: row.namespaces ?? 'all' };
}

function scopeColumn(part: 'all' | readonly string[]): readonly string[] | null {
  return part === 'all' ? null : part;
}
