import type { Step } from '../step.ts';
import { dropSystemFunction, giveToSystem, openToSystem, protectTenantTable } from '../tenant-table.ts';

/** Where flows and metrics are sent to, with how far each has come. Headers hold credentials: the API may write them and never read them. */
export const flowSinks: Step = {
  id: '0027-flow-sinks',

  async up(sql) {
    await sql.query(`
      CREATE TABLE palisade.flow_sinks (
        tenant_id        uuid NOT NULL REFERENCES palisade.tenants,
        id               uuid NOT NULL DEFAULT uuidv7(),
        name             text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
        endpoint         text NOT NULL,
        headers          jsonb NOT NULL,
        header_names     text[] NOT NULL,
        logs             boolean NOT NULL,
        metrics          boolean NOT NULL,
        enabled          boolean NOT NULL DEFAULT true,
        version          integer NOT NULL DEFAULT 1,
        created_by       text NOT NULL,
        created_at       timestamptz NOT NULL DEFAULT now(),
        -- Where sending goes on: a position in the order of ingest.
        position_commit  text NOT NULL,
        position_batch   text NOT NULL,
        sent_flows       bigint NOT NULL DEFAULT 0,
        rejected_flows   bigint NOT NULL DEFAULT 0,
        sent_until       timestamptz,
        caught_up_at     timestamptz,
        metrics_at       timestamptz,
        failing_since    timestamptz,
        last_error       text,
        failures         integer NOT NULL DEFAULT 0,
        next_attempt_at  timestamptz NOT NULL DEFAULT now(),
        leased_until     timestamptz NOT NULL DEFAULT '-infinity',
        PRIMARY KEY (tenant_id, id),
        CONSTRAINT flow_sinks_name UNIQUE (tenant_id, name)
      )`);
    await protectTenantTable(sql, 'flow_sinks');
    await openToSystem(sql, 'flow_sinks', 'SELECT');
    const readable = 'tenant_id, id, name, endpoint, header_names, logs, metrics, enabled, version, created_by, created_at, sent_flows, rejected_flows, sent_until, caught_up_at, metrics_at, failing_since, last_error, failures, next_attempt_at';
    await sql.query(`GRANT SELECT (${readable}), INSERT, DELETE, UPDATE (endpoint, headers, header_names, logs, metrics, enabled, version, next_attempt_at, failures) ON palisade.flow_sinks TO palisade_api`);
    await sql.query('GRANT SELECT, UPDATE ON palisade.flow_sinks TO palisade_worker');
    await sql.query(`
      CREATE FUNCTION palisade.flow_sinks_due() RETURNS TABLE (tenant_id uuid, sink_id uuid)
      LANGUAGE sql STABLE SECURITY DEFINER SET search_path = palisade, pg_temp AS $$
        SELECT s.tenant_id, s.id FROM palisade.flow_sinks s
        WHERE s.enabled AND s.next_attempt_at <= now() AND s.leased_until < now() ORDER BY s.next_attempt_at LIMIT 200
      $$`);
    await giveToSystem(sql, 'palisade.flow_sinks_due()', ['palisade_worker']);
  },

  async down(sql) {
    await dropSystemFunction(sql, 'palisade.flow_sinks_due()');
    await sql.query('DROP TABLE palisade.flow_sinks');
  },
};
