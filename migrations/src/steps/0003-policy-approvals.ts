import type { Step } from '../step.ts';
import { protectTenantTable } from '../tenant-table.ts';

/** Who approved which revision of a cluster's policies. Never changed: an approval is a fact. */
export const policyApprovals: Step = {
  id: '0003-policy-approvals',

  async up(sql) {
    await sql.query(`
      CREATE TABLE palisade.policy_approvals (
        tenant_id     uuid NOT NULL,
        cluster_id    uuid NOT NULL,
        revision      integer NOT NULL,
        approver      text NOT NULL,
        approver_name text NOT NULL,
        created_at    timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, cluster_id, revision),
        FOREIGN KEY (tenant_id, cluster_id, revision) REFERENCES palisade.policy_revisions
      )`);
    await protectTenantTable(sql, 'policy_approvals');
    await sql.query('GRANT SELECT, INSERT ON palisade.policy_approvals TO palisade_api');
    await sql.query('GRANT SELECT ON palisade.policy_approvals TO palisade_worker');
  },

  async down(sql) {
    await sql.query('DROP TABLE palisade.policy_approvals');
  },
};
