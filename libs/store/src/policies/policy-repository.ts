import type { Policy, PolicyRepository, PolicyRevision, PolicyVersion } from '@palisade/control';
import { DomainError } from '@palisade/errors';
import type { PolicyDocument, PolicyKind, PolicyMode } from '@palisade/policy';
import { pageOf } from '../page.ts';
import type { TenantSession } from '../session.ts';

interface PolicyRow {
  readonly id: string;
  readonly cluster_id: string;
  readonly kind: PolicyKind;
  readonly namespace: string | null;
  readonly name: string;
  readonly created_at: Date;
  readonly revision: number;
  readonly ended_at_revision: number | null;
  readonly digest: string;
  readonly ir: PolicyDocument;
}

interface VersionRow {
  readonly revision: number;
  readonly ended_at_revision: number | null;
  readonly mode: PolicyMode;
  readonly digest: string;
  readonly created_by: string;
  readonly created_at: Date;
}

interface RevisionRow {
  readonly revision: number;
  readonly digest: string;
  readonly applied: number;
  readonly removed: number;
  readonly created_by: string;
  readonly created_at: Date;
}

const POLICY_COLUMNS = 'p.id, p.cluster_id, p.kind, p.namespace, p.name, p.created_at, v.revision, v.ended_at_revision, v.digest, v.ir';
const REVISION_COLUMNS = 'revision, digest, applied, removed, created_by, created_at';

export function postgresPolicies(session: TenantSession): PolicyRepository {
  const { tenantId } = session.context;
  return {
    async documentsAt(clusterId, revision) {
      const [known] = await session.query<{ newest: number }>('SELECT policy_revision AS newest FROM palisade.clusters WHERE tenant_id = $1 AND id = $2', [tenantId, clusterId]);
      if (known === undefined || revision < 0 || revision > known.newest) {
        throw new DomainError('resource.not-found', `The cluster has no policy revision ${revision}.`);
      }
      const rows = await session.query<{ ir: PolicyDocument }>(
        `SELECT ir FROM palisade.policy_versions
         WHERE tenant_id = $1 AND cluster_id = $2 AND revision <= $3 AND (ended_at_revision IS NULL OR ended_at_revision > $3)`,
        [tenantId, clusterId, revision],
      );
      return rows.map(({ ir }) => ir);
    },
    async list(clusterId, { limit, after, namespaces, kind }) {
      const rows = await session.query<PolicyRow>(
        `SELECT ${POLICY_COLUMNS} FROM palisade.policies p
         JOIN palisade.policy_versions v ON v.tenant_id = p.tenant_id AND v.policy_id = p.id AND v.ended_at_revision IS NULL
         WHERE p.tenant_id = $1 AND p.cluster_id = $2 AND ($3::uuid IS NULL OR p.id > $3)
           AND ($4::text[] IS NULL OR p.namespace = ANY ($4)) AND ($5::text IS NULL OR p.kind = $5)
         ORDER BY p.id LIMIT $6`,
        [tenantId, clusterId, after ?? null, namespaces ?? null, kind ?? null, limit + 1],
      );
      return pageOf(rows.map(toPolicy), limit, ({ id }) => id);
    },
    async find(clusterId, id) {
      const [row] = await session.query<PolicyRow>(
        `SELECT ${POLICY_COLUMNS} FROM palisade.policies p
         JOIN palisade.policy_versions v ON v.tenant_id = p.tenant_id AND v.policy_id = p.id
         WHERE p.tenant_id = $1 AND p.cluster_id = $2 AND p.id = $3 ORDER BY v.revision DESC LIMIT 1`,
        [tenantId, clusterId, id],
      );
      return row && toPolicy(row);
    },
    async versions(clusterId, id, limit) {
      const rows = await session.query<VersionRow>(
        `SELECT v.revision, v.ended_at_revision, v.ir->>'mode' AS mode, v.digest, r.created_by, r.created_at
         FROM palisade.policy_versions v
         JOIN palisade.policy_revisions r ON r.tenant_id = v.tenant_id AND r.cluster_id = v.cluster_id AND r.revision = v.revision
         WHERE v.tenant_id = $1 AND v.cluster_id = $2 AND v.policy_id = $3 ORDER BY v.revision DESC LIMIT $4`,
        [tenantId, clusterId, id, limit],
      );
      return rows.map(toVersion);
    },
    async revisions(clusterId, { limit, after }) {
      const rows = await session.query<RevisionRow>(
        `SELECT ${REVISION_COLUMNS} FROM palisade.policy_revisions
         WHERE tenant_id = $1 AND cluster_id = $2 AND ($3::int IS NULL OR revision < $3) ORDER BY revision DESC LIMIT $4`,
        [tenantId, clusterId, after ?? null, limit + 1],
      );
      return pageOf(rows.map(toRevision), limit, ({ revision }) => revision);
    },
    async insertRevision({ clusterId, revision, source, digest, applied, removed, createdBy }) {
      const [row] = await session.query<RevisionRow>(
        `INSERT INTO palisade.policy_revisions (tenant_id, cluster_id, revision, source, digest, applied, removed, created_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING ${REVISION_COLUMNS}`,
        [tenantId, clusterId, revision, source, digest, applied, removed, createdBy],
      );
      await session.execute('UPDATE palisade.clusters SET policy_revision = $3, updated_at = now() WHERE tenant_id = $1 AND id = $2', [tenantId, clusterId, revision]);
      return toRevision(row as RevisionRow);
    },
    async put(clusterId, document, digest) {
      const { kind, namespace, name, revision } = document;
      const key = [tenantId, clusterId, kind, namespace ?? null, name];
      await session.execute('INSERT INTO palisade.policies (tenant_id, cluster_id, kind, namespace, name) VALUES ($1, $2, $3, $4, $5) ON CONFLICT ON CONSTRAINT policies_key DO NOTHING', key);
      const [policy] = await session.query<{ id: string }>(
        'SELECT id FROM palisade.policies WHERE tenant_id = $1 AND cluster_id = $2 AND kind = $3 AND namespace IS NOT DISTINCT FROM $4 AND name = $5',
        key,
      );
      if (policy === undefined) throw new Error(`${kind} ${name} is not there right after it was inserted.`);
      await endVersion(session, clusterId, policy.id, revision);
      await session.execute('INSERT INTO palisade.policy_versions (tenant_id, policy_id, cluster_id, revision, ir, digest) VALUES ($1, $2, $3, $4, $5, $6)', [
        tenantId,
        policy.id,
        clusterId,
        revision,
        JSON.stringify(document),
        digest,
      ]);
      return policy.id;
    },
    end: (clusterId, id, revision) => endVersion(session, clusterId, id, revision),
  };
}

async function endVersion(session: TenantSession, clusterId: string, policyId: string, revision: number): Promise<void> {
  await session.execute(
    'UPDATE palisade.policy_versions SET ended_at_revision = $4 WHERE tenant_id = $1 AND cluster_id = $2 AND policy_id = $3 AND ended_at_revision IS NULL',
    [session.context.tenantId, clusterId, policyId, revision],
  );
}

function toPolicy(row: PolicyRow): Policy {
  return {
    id: row.id,
    clusterId: row.cluster_id,
    kind: row.kind,
    ...(row.namespace === null ? {} : { namespace: row.namespace }),
    name: row.name,
    mode: row.ir.mode,
    revision: row.revision,
    ...(row.ended_at_revision === null ? {} : { removedAtRevision: row.ended_at_revision }),
    digest: row.digest,
    document: row.ir,
    createdAt: row.created_at,
  };
}

function toVersion(row: VersionRow): PolicyVersion {
  return {
    revision: row.revision,
    ...(row.ended_at_revision === null ? {} : { endedAtRevision: row.ended_at_revision }),
    mode: row.mode,
    digest: row.digest,
    createdBy: row.created_by,
    createdAt: row.created_at,
  };
}

function toRevision(row: RevisionRow): PolicyRevision {
  return { revision: row.revision, digest: row.digest, applied: row.applied, removed: row.removed, createdBy: row.created_by, createdAt: row.created_at };
}
