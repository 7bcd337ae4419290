import type { Step } from '../step.ts';
import { protectTenantTable } from '../tenant-table.ts';

/** Signed statements of how long each tenant's audit log is and what its root is. Written by the worker, never changed. */
export const auditCheckpoints: Step = {
  id: '0002-audit-checkpoints',

  async up(sql) {
    await sql.query(`
      CREATE TABLE palisade.audit_checkpoint (
        tenant_id  uuid NOT NULL REFERENCES palisade.tenants,
        id         uuid NOT NULL DEFAULT uuidv7(),
        size       bigint NOT NULL CHECK (size >= 0),
        subtrees   bytea[] NOT NULL,
        note       text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id)
      )`);
    await sql.query("COMMENT ON COLUMN palisade.audit_checkpoint.subtrees IS 'Roots of the complete subtrees, largest first: with size all that is needed to go on'");
    await sql.query('CREATE INDEX audit_checkpoint_size ON palisade.audit_checkpoint (tenant_id, size)');
    await protectTenantTable(sql, 'audit_checkpoint');
    await sql.query('GRANT SELECT, INSERT ON palisade.audit_checkpoint TO palisade_worker');
    await sql.query('GRANT SELECT ON palisade.audit_checkpoint TO palisade_api');
  },

  async down(sql) {
    await sql.query('DROP TABLE palisade.audit_checkpoint');
  },
};
