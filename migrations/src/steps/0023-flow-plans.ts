import type { Step } from '../step.ts';
import { protectTenantTable } from '../tenant-table.ts';

/**
 * What a tenant's plan allows, set by whoever runs the installation (never by the tenant: the api only reads). No row, or NULL
 * in a column, means what the installation is configured with.
 */
export const flowPlans: Step = {
  id: '0023-flow-plans',

  async up(sql) {
    await sql.query(`
      CREATE TABLE palisade.flow_plan (
        tenant_id        uuid PRIMARY KEY REFERENCES palisade.tenants,
        flows_per_second integer CHECK (flows_per_second > 0),
        bytes_per_day    bigint CHECK (bytes_per_day > 0 AND bytes_per_day <= 9007199254740991),
        flow_days        integer CHECK (flow_days BETWEEN 1 AND 400),
        updated_at       timestamptz NOT NULL DEFAULT now()
      )`);
    await protectTenantTable(sql, 'flow_plan');
    await sql.query('GRANT SELECT ON palisade.flow_plan TO palisade_api, palisade_ingest, palisade_worker');
  },

  async down(sql) {
    await sql.query('DROP TABLE palisade.flow_plan');
  },
};
