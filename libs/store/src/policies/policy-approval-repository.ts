import type { PolicyApproval, PolicyApprovalRepository } from '@palisade/control';
import type { TenantSession } from '../session.ts';

interface ApprovalRow {
  readonly revision: number;
  readonly approver: string;
  readonly approver_name: string;
  readonly created_at: Date;
}

const COLUMNS = 'revision, approver, approver_name, created_at';

export function postgresPolicyApprovals(session: TenantSession): PolicyApprovalRepository {
  const { tenantId } = session.context;
  return {
    async find(clusterId, revision) {
      const [row] = await session.query<ApprovalRow>(`SELECT ${COLUMNS} FROM palisade.policy_approvals WHERE tenant_id = $1 AND cluster_id = $2 AND revision = $3`, [tenantId, clusterId, revision]);
      return row && toApproval(row);
    },
    async authorsUpTo(clusterId, revision) {
      const rows = await session.query<{ author: string }>(
        `SELECT DISTINCT created_by AS author FROM palisade.policy_revisions
         WHERE tenant_id = $1 AND cluster_id = $2 AND revision <= $3 AND revision > COALESCE(
           (SELECT max(revision) FROM palisade.policy_approvals WHERE tenant_id = $1 AND cluster_id = $2 AND revision < $3), 0)`,
        [tenantId, clusterId, revision],
      );
      return rows.map(({ author }) => author);
    },
    async insert(clusterId, { revision, approver, approverName }) {
      const [row] = await session.query<ApprovalRow>(
        `INSERT INTO palisade.policy_approvals (tenant_id, cluster_id, revision, approver, approver_name) VALUES ($1, $2, $3, $4, $5) RETURNING ${COLUMNS}`,
        [tenantId, clusterId, revision, approver, approverName],
      );
      return toApproval(row as ApprovalRow);
    },
  };
}

function toApproval(row: ApprovalRow): PolicyApproval {
  return { revision: row.revision, approver: row.approver, approverName: row.approver_name, createdAt: row.created_at };
}
