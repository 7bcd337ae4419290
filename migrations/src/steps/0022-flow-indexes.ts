import type { SqlRunner, Step } from '../step.ts';

/**
 * Indexes by what is asked: every question names a tenant, so the block ranges over time alone answered none and cost every
 * row; requests and DNS answers are few among flows, and were looked for in all of them (docs/adr: flow indexes).
 */
export const flowIndexes: Step = {
  id: '0022-flow-indexes',

  async up(sql: SqlRunner) {
    await sql.query('DROP INDEX palisade.flow_time');
    await sql.query('CREATE INDEX flow_layer7 ON palisade.flow (tenant_id, last_seen) WHERE http_id IS NOT NULL OR dns_id IS NOT NULL');
  },

  async down(sql: SqlRunner) {
    await sql.query('DROP INDEX palisade.flow_layer7');
    await sql.query('CREATE INDEX flow_time ON palisade.flow USING brin (last_seen)');
  },
};
