import type { Step } from '../step.ts';
import { protectTenantTable } from '../tenant-table.ts';

/** What of a tenant's traffic may be stored; no row means the default, which redacts. */
export const flowPrivacy: Step = {
  id: '0026-flow-privacy',

  async up(sql) {
    await sql.query(`
      CREATE TABLE palisade.flow_privacy (
        tenant_id              uuid PRIMARY KEY REFERENCES palisade.tenants,
        keep_query_strings     boolean NOT NULL,
        keep_process_arguments boolean NOT NULL,
        version                integer NOT NULL DEFAULT 1,
        updated_at             timestamptz NOT NULL DEFAULT now()
      )`);
    await protectTenantTable(sql, 'flow_privacy');
    await sql.query('GRANT SELECT, INSERT, UPDATE ON palisade.flow_privacy TO palisade_api');
    await sql.query('GRANT SELECT ON palisade.flow_privacy TO palisade_ingest, palisade_worker');
  },

  async down(sql) {
    await sql.query('DROP TABLE palisade.flow_privacy');
  },
};
