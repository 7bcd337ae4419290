import type { Step } from '../step.ts';
import { protectTenantTable } from '../tenant-table.ts';

/** Epoch recovery commands, signed by the root authority (trust-and-fleet §2): the gateway serves them, the worker takes them in. */
export const epochRecoveries: Step = {
  id: '0017-epoch-recoveries',

  async up(sql) {
    await sql.query(`
      CREATE TABLE palisade.epoch_recoveries (
        tenant_id uuid NOT NULL,
        cluster_id uuid NOT NULL,
        epoch bigint NOT NULL CHECK (epoch > 1),
        -- DSSE envelope; nodes verify it with the root's keys.
        envelope bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, cluster_id, epoch),
        FOREIGN KEY (tenant_id, cluster_id) REFERENCES palisade.clusters (tenant_id, id) ON DELETE CASCADE
      );
    `);
    await protectTenantTable(sql, 'epoch_recoveries');
    await sql.query(`
      GRANT SELECT, INSERT ON palisade.epoch_recoveries TO palisade_worker;
      GRANT SELECT ON palisade.epoch_recoveries TO palisade_gateway;
    `);
  },

  async down(sql) {
    await sql.query('DROP TABLE palisade.epoch_recoveries');
  },
};
