import type { SqlRunner, Step } from '../step.ts';
import { protectTenantTable } from '../tenant-table.ts';

/**
 * Sums per minute and per hour. Ingest appends parts (`part`) to the minutes in the transaction of the flows; the worker
 * moves finished parts into whole minutes and into parts of hours, in one transaction: every part counts once in both.
 */
function edges(table: string): string {
  return `
    CREATE TABLE palisade.${table} (
      tenant_id uuid NOT NULL,
      bucket timestamptz NOT NULL,
      cluster_id uuid NOT NULL,
      source_id integer NOT NULL,
      destination_id integer NOT NULL,
      port integer NOT NULL,
      protocol smallint NOT NULL,
      verdict smallint NOT NULL,
      drop_reason smallint,
      policy_set_id integer,
      flows bigint NOT NULL,
      packets bigint NOT NULL,
      bytes bigint NOT NULL,
      reply_packets bigint NOT NULL,
      reply_bytes bigint NOT NULL,
      http_requests bigint,
      http_errors bigint,
      http_latency integer[],
      part boolean NOT NULL
    )`;
}

/** Adds latency histograms up, bucket by bucket. */
const SUM_HISTOGRAMS = `
    CREATE FUNCTION palisade.flow_add_histograms(a integer[], b integer[]) RETURNS integer[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog AS $$
      SELECT CASE WHEN a IS NULL THEN b WHEN b IS NULL THEN a ELSE
        (SELECT array_agg(coalesce(x, 0) + coalesce(y, 0) ORDER BY n) FROM unnest(a, b) WITH ORDINALITY AS t(x, y, n)) END
    $$`;

const TABLES = ['flow_edge_minute', 'flow_edge_hour'] as const;

export const flowEdges: Step = {
  id: '0021-flow-edges',

  async up(sql: SqlRunner) {
    await sql.query(SUM_HISTOGRAMS);
    await sql.query('CREATE AGGREGATE palisade.flow_sum_histograms(integer[]) (SFUNC = palisade.flow_add_histograms, STYPE = integer[])');
    await sql.query('GRANT EXECUTE ON FUNCTION palisade.flow_add_histograms(integer[], integer[]) TO palisade_api, palisade_worker, palisade_ingest');
    await sql.query('GRANT EXECUTE ON FUNCTION palisade.flow_sum_histograms(integer[]) TO palisade_api, palisade_worker, palisade_ingest');
    for (const table of TABLES) {
      await sql.query(edges(table));
      await sql.query(`CREATE INDEX ${table}_bucket ON palisade.${table} (tenant_id, bucket)`);
      await sql.query(`CREATE INDEX ${table}_part ON palisade.${table} (tenant_id, bucket) WHERE part`);
      await protectTenantTable(sql, table);
      await sql.query(`GRANT SELECT ON palisade.${table} TO palisade_api`);
      await sql.query(`GRANT SELECT, INSERT, DELETE ON palisade.${table} TO palisade_worker`);
    }
    // Who reported lately.
    await sql.query('CREATE INDEX flow_batch_received ON palisade.flow_batch (tenant_id, received_at)');
    await sql.query('GRANT INSERT ON palisade.flow_edge_minute TO palisade_ingest');
    // Ledger rows of batches that no agent can send again, and flows that nothing shows any more.
    await sql.query('GRANT DELETE ON palisade.flow_batch TO palisade_worker');
  },

  async down(sql: SqlRunner) {
    await sql.query('DROP INDEX palisade.flow_batch_received');
    await sql.query('REVOKE DELETE ON palisade.flow_batch FROM palisade_worker');
    for (const table of TABLES.toReversed()) await sql.query(`DROP TABLE palisade.${table}`);
    await sql.query('DROP AGGREGATE palisade.flow_sum_histograms(integer[])');
    await sql.query('DROP FUNCTION palisade.flow_add_histograms(integer[], integer[])');
  },
};
