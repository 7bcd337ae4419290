import type { SqlRunner, Step } from '../step.ts';
import { dropSystemFunction, giveToSystem, openToSystem, protectTenantTable } from '../tenant-table.ts';

const TABLES = ['rollouts', 'rollout_waves', 'rollout_nodes', 'rollout_events', 'wave_assignments', 'node_desired', 'node_observations', 'outbox'] as const;

/**
 * Rollouts (trust-and-fleet §3), what each node is meant to run and what it says it runs, and the outbox that wakes the
 * workers. PostgreSQL is the truth; whatever the queue forgets is found here again.
 */
export const rollouts: Step = {
  id: '0013-rollouts',

  async up(sql) {
    await sql.query(`
      CREATE TABLE palisade.rollouts (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL DEFAULT uuidv7(),
        cluster_id uuid NOT NULL,
        channel text NOT NULL DEFAULT 'stable',
        state text NOT NULL CHECK (state IN ('draft', 'validating', 'ready', 'running', 'paused', 'succeeded', 'halted', 'rolling_back', 'rolled_back', 'superseded', 'canceled')),
        -- Compare-and-swap: every transition names the version it read.
        version integer NOT NULL DEFAULT 1,
        reason text,
        policy_revision bigint NOT NULL,
        -- Set on a rollback: the rollout that is undone and the bundle that comes back.
        revert_of uuid,
        bundle_id uuid,
        epoch bigint,
        n bigint,
        strategy jsonb NOT NULL,
        gate jsonb NOT NULL,
        windows jsonb NOT NULL DEFAULT '[]',
        lease_ms integer NOT NULL CHECK (lease_ms BETWEEN 1000 AND 86400000),
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        started_at timestamptz,
        finished_at timestamptz,
        -- Every wave passed once; stays true when the rollout is rolled back later.
        adopted boolean NOT NULL DEFAULT false,
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, cluster_id) REFERENCES palisade.clusters (tenant_id, id) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, bundle_id) REFERENCES palisade.bundles (tenant_id, id),
        FOREIGN KEY (tenant_id, revert_of) REFERENCES palisade.rollouts (tenant_id, id)
      );
      CREATE UNIQUE INDEX rollouts_one_active ON palisade.rollouts (tenant_id, cluster_id, channel)
        WHERE state IN ('draft', 'validating', 'ready', 'running', 'paused');
      CREATE INDEX rollouts_by_cluster ON palisade.rollouts (tenant_id, cluster_id, id);

      CREATE TABLE palisade.rollout_waves (
        tenant_id uuid NOT NULL,
        rollout_id uuid NOT NULL,
        index integer NOT NULL,
        name text NOT NULL,
        size integer NOT NULL,
        state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'open', 'baking', 'passed', 'failed')),
        opened_at timestamptz,
        baking_since timestamptz,
        settled_at timestamptz,
        reason text,
        PRIMARY KEY (tenant_id, rollout_id, index),
        FOREIGN KEY (tenant_id, rollout_id) REFERENCES palisade.rollouts (tenant_id, id) ON DELETE CASCADE
      );
      CREATE TABLE palisade.rollout_nodes (
        tenant_id uuid NOT NULL,
        rollout_id uuid NOT NULL,
        node_id uuid NOT NULL,
        wave_index integer NOT NULL,
        state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'offered', 'verified', 'loaded', 'healthy', 'failed', 'timed_out', 'reverted', 'skipped_offline', 'superseded')),
        lease_until timestamptz,
        reason text,
        -- node_observations.change_count that was last taken into account.
        seen_change bigint NOT NULL DEFAULT 0,
        -- What the node was meant to run before this rollout, to withdraw an offer with.
        previous jsonb,
        -- Denied packets the node had counted when it was offered: the baseline of deny-delta.
        denied_before bigint,
        offered_at timestamptz,
        updated_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (tenant_id, rollout_id, node_id),
        PRIMARY KEY (tenant_id, rollout_id, wave_index, node_id),
        FOREIGN KEY (tenant_id, rollout_id, wave_index) REFERENCES palisade.rollout_waves (tenant_id, rollout_id, index) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, node_id) REFERENCES palisade.nodes (tenant_id, id) ON DELETE CASCADE
      );
      CREATE INDEX rollout_nodes_by_node ON palisade.rollout_nodes (tenant_id, node_id);

      -- The live event stream, late reports included.
      CREATE TABLE palisade.rollout_events (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL DEFAULT uuidv7(),
        rollout_id uuid NOT NULL,
        kind text NOT NULL,
        wave_index integer,
        node_id uuid,
        detail text NOT NULL DEFAULT '',
        at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, rollout_id) REFERENCES palisade.rollouts (tenant_id, id) ON DELETE CASCADE
      );
      CREATE INDEX rollout_events_by_rollout ON palisade.rollout_events (tenant_id, rollout_id, id);

      -- One signature of the director over the nodes of a wave.
      CREATE TABLE palisade.wave_assignments (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL DEFAULT uuidv7(),
        cluster_id uuid NOT NULL,
        envelope bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, cluster_id) REFERENCES palisade.clusters (tenant_id, id) ON DELETE CASCADE
      );
      CREATE TABLE palisade.node_desired (
        tenant_id uuid NOT NULL,
        node_id uuid NOT NULL,
        cluster_id uuid NOT NULL,
        epoch bigint NOT NULL,
        n bigint NOT NULL,
        content_digest text NOT NULL,
        manifest_sha256 text NOT NULL,
        assignment_id uuid NOT NULL,
        leaf_index integer NOT NULL,
        -- Audit path, 32 bytes each, bottom up, one after the other.
        proof bytea NOT NULL,
        rollout_id uuid,
        set_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, node_id),
        FOREIGN KEY (tenant_id, assignment_id) REFERENCES palisade.wave_assignments (tenant_id, id),
        FOREIGN KEY (tenant_id, node_id) REFERENCES palisade.nodes (tenant_id, id) ON DELETE CASCADE
      );
      CREATE INDEX node_desired_by_cluster ON palisade.node_desired (tenant_id, cluster_id);

      CREATE TABLE palisade.node_observations (
        tenant_id uuid NOT NULL,
        node_id uuid NOT NULL,
        cluster_id uuid NOT NULL,
        boot_id text NOT NULL,
        -- Of the certificate that the node showed, lower-case hex.
        serial text NOT NULL,
        observed jsonb NOT NULL,
        -- Grows when what the node runs or says of a bundle changed, not with every check-in.
        change_count bigint NOT NULL DEFAULT 1,
        denied_packets bigint NOT NULL DEFAULT 0,
        agent_version text,
        seen_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, node_id),
        FOREIGN KEY (tenant_id, node_id) REFERENCES palisade.nodes (tenant_id, id) ON DELETE CASCADE
      );
      CREATE INDEX node_observations_by_cluster ON palisade.node_observations (tenant_id, cluster_id, seen_at);

      -- Ids only, no content: the dispatcher reads it across tenants.
      CREATE TABLE palisade.outbox (
        tenant_id uuid NOT NULL,
        id bigint GENERATED ALWAYS AS IDENTITY,
        topic text NOT NULL CHECK (topic IN ('rollout')),
        subject_id uuid NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id)
      );
      CREATE INDEX outbox_in_order ON palisade.outbox (id);
    `);
    for (const table of TABLES) await protectTenantTable(sql, table);
    await sql.query(`
      GRANT SELECT, INSERT, UPDATE ON palisade.rollouts TO palisade_api;
      GRANT SELECT ON palisade.rollout_waves, palisade.rollout_nodes, palisade.rollout_events, palisade.node_desired, palisade.node_observations TO palisade_api;
      GRANT INSERT ON palisade.rollout_events, palisade.outbox TO palisade_api;
      -- Halt, pause, roll back and supersede take effect with the person's own transaction: offers are withdrawn in it.
      -- What a node wants stays signed by the director, whoever writes the row.
      GRANT UPDATE ON palisade.rollout_nodes TO palisade_api;
      GRANT UPDATE, DELETE ON palisade.node_desired TO palisade_api;
      GRANT SELECT, INSERT, UPDATE, DELETE ON palisade.rollouts, palisade.rollout_waves, palisade.rollout_nodes, palisade.rollout_events,
        palisade.wave_assignments, palisade.node_desired TO palisade_worker;
      GRANT INSERT ON palisade.outbox TO palisade_worker;
      GRANT SELECT ON palisade.node_observations TO palisade_worker;
      GRANT SELECT ON palisade.node_desired, palisade.wave_assignments TO palisade_gateway;
      GRANT SELECT, INSERT, UPDATE ON palisade.node_observations TO palisade_gateway;
    `);
    await createWorkFinders(sql);
  },

  async down(sql) {
    await dropSystemFunction(sql, 'palisade.take_outbox(integer)');
    await dropSystemFunction(sql, 'palisade.clusters_with_new_reports()');
    await dropSystemFunction(sql, 'palisade.rollouts_at_work()');
    await sql.query(`
      DROP TABLE palisade.outbox, palisade.node_observations, palisade.node_desired, palisade.wave_assignments, palisade.rollout_events, palisade.rollout_nodes,
        palisade.rollout_waves, palisade.rollouts;
      DROP POLICY system_rows ON palisade.endpoint_reports;
      DROP POLICY system_rows ON palisade.endpoint_report_results;
      REVOKE SELECT ON palisade.endpoint_reports, palisade.endpoint_report_results FROM palisade_system;
    `);
  },
};

/** Which tenants have work that a lost wake-up could leave lying: ids only. */
async function createWorkFinders(sql: SqlRunner): Promise<void> {
  await openToSystem(sql, 'rollouts', 'SELECT');
  await openToSystem(sql, 'endpoint_reports', 'SELECT');
  await openToSystem(sql, 'endpoint_report_results', 'SELECT');
  await sql.query(`
    CREATE FUNCTION palisade.rollouts_at_work() RETURNS TABLE (tenant_id uuid, rollout_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT r.tenant_id, r.id FROM palisade.rollouts r
          WHERE r.state IN ('draft', 'validating', 'ready', 'running', 'rolling_back') ORDER BY r.id LIMIT 10000 $$`);
  await giveToSystem(sql, 'palisade.rollouts_at_work()', ['palisade_worker']);
  await sql.query(`
    CREATE FUNCTION palisade.clusters_with_new_reports() RETURNS TABLE (tenant_id uuid, cluster_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT DISTINCT e.tenant_id, e.cluster_id FROM palisade.endpoint_reports e
          LEFT JOIN palisade.endpoint_report_results r ON r.tenant_id = e.tenant_id AND r.node_id = e.node_id
          WHERE r.version IS DISTINCT FROM e.version LIMIT 1000 $$`);
  await giveToSystem(sql, 'palisade.clusters_with_new_reports()', ['palisade_worker']);
  await openToSystem(sql, 'outbox', 'SELECT, UPDATE, DELETE');
  // The first entry of every tenant, then the second of every tenant, …: a tenant that queues much delays only itself.
  await sql.query(`
    CREATE FUNCTION palisade.take_outbox(at_most integer) RETURNS TABLE (tenant_id uuid, id bigint, topic text, subject_id uuid)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ WITH fair AS (SELECT o.tenant_id, o.id, row_number() OVER (PARTITION BY o.tenant_id ORDER BY o.id) AS turn
                        FROM palisade.outbox o),
               taken AS (SELECT o.tenant_id, o.id FROM palisade.outbox o JOIN fair f USING (tenant_id, id)
                         ORDER BY f.turn, o.id LIMIT at_most FOR UPDATE OF o SKIP LOCKED)
          DELETE FROM palisade.outbox o USING taken t WHERE o.tenant_id = t.tenant_id AND o.id = t.id
          RETURNING o.tenant_id, o.id, o.topic, o.subject_id $$`);
  await giveToSystem(sql, 'palisade.take_outbox(integer)', ['palisade_worker']);
}
