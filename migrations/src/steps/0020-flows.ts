import type { SqlRunner, Step } from '../step.ts';
import { protectTenantTable } from '../tenant-table.ts';

/** Every dictionary: an integer per distinct content, found again by the digest of the content. */
function dictionary(name: string, columns: string): string {
  return `
    CREATE TABLE palisade.${name} (
      tenant_id uuid NOT NULL,
      id integer GENERATED ALWAYS AS IDENTITY,
      digest bytea NOT NULL CHECK (octet_length(digest) = 16),
      ${columns},
      PRIMARY KEY (tenant_id, id),
      UNIQUE (tenant_id, digest)
    )`;
}

const DICTIONARIES: Readonly<Record<string, string>> = {
  flow_peer: `
      address inet NOT NULL,
      identity bigint NOT NULL,
      labels text[] NOT NULL,
      namespace text, workload text, cluster text, node text,
      dns_names text[] NOT NULL`,
  flow_observer: 'cluster_id uuid NOT NULL, node_id uuid NOT NULL, node text NOT NULL, interface text',
  flow_stamp: 'generation text NOT NULL, policy_revision bigint NOT NULL, identity_revision bigint NOT NULL, origin smallint NOT NULL',
  flow_policy_set: 'policies jsonb NOT NULL',
  flow_process: '"binary" text NOT NULL, uid bigint NOT NULL, container text, arguments text',
  flow_http: 'method text NOT NULL, path text NOT NULL',
  flow_dns: 'query text NOT NULL, addresses text[] NOT NULL, rcode integer NOT NULL',
};

const TENANT_TABLES = [...Object.keys(DICTIONARIES), 'flow_batch', 'flow'];

/**
 * The ledger of batches. A replayed (node, boot, seq) finds its row and stores nothing. `commit_order` is the
 * transaction's number: everything below the oldest running one is final, which makes following exact.
 */
const LEDGER = `
    CREATE TABLE palisade.flow_batch (
      tenant_id uuid NOT NULL,
      node_id uuid NOT NULL,
      boot_id uuid NOT NULL,
      seq bigint NOT NULL CHECK (seq > 0),
      batch_id bigint GENERATED ALWAYS AS IDENTITY,
      commit_order bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
      cluster_id uuid NOT NULL,
      "rows" integer NOT NULL,
      window_start timestamptz NOT NULL,
      window_end timestamptz NOT NULL,
      seen bigint NOT NULL,
      sampled bigint NOT NULL,
      losses jsonb NOT NULL,
      incomplete boolean NOT NULL,
      received_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (tenant_id, node_id, boot_id, seq),
      UNIQUE (tenant_id, batch_id)
    )`;

/** NULL stands for zero in the columns that rarely have another value: it costs one bit. */
const FLOW = `
    CREATE TABLE palisade.flow (
      tenant_id uuid NOT NULL,
      last_seen timestamptz NOT NULL,
      batch_id bigint NOT NULL,
      packets bigint NOT NULL,
      bytes bigint NOT NULL,
      reply_packets bigint,
      reply_bytes bigint,
      duration_us bigint,
      source_id integer NOT NULL,
      destination_id integer NOT NULL,
      observer_id integer NOT NULL,
      stamp_id integer NOT NULL,
      policy_set_id integer,
      process_id integer,
      pid integer,
      http_id integer,
      dns_id integer,
      rtt_us integer,
      latency_us integer,
      weight integer,
      source_port integer NOT NULL,
      destination_port integer NOT NULL,
      "row" smallint NOT NULL,
      protocol smallint NOT NULL,
      event smallint NOT NULL,
      direction smallint NOT NULL,
      verdict smallint NOT NULL,
      drop_reason smallint,
      shadow_verdict smallint,
      tcp_flags smallint,
      http_status smallint,
      is_reply boolean NOT NULL
    ) PARTITION BY RANGE (last_seen)`;

/**
 * Days are made ahead as plain tables and attached: that takes no lock that readers or writers notice. A leaf has no
 * row-level security, because PostgreSQL refuses COPY FROM on tables that have it; so nobody may read it directly, and
 * only the ingest role may write it. Everyone reads through the parent.
 */
const ENSURE_PARTITIONS = `
    CREATE FUNCTION palisade.flow_ensure_partitions(first_day date, last_day date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = palisade, pg_temp AS $$
    DECLARE
      day date;
      leaf text;
      made integer := 0;
    BEGIN
      IF first_day < current_date - 400 OR last_day > current_date + 31 THEN
        RAISE EXCEPTION 'days must lie between 400 days ago and 31 days ahead' USING ERRCODE = '22023';
      END IF;
      PERFORM pg_advisory_xact_lock(hashtext('palisade.flow_ensure_partitions'));
      FOR day IN SELECT generate_series(first_day, last_day, interval '1 day')::date LOOP
        leaf := 'flow_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass('palisade.' || leaf) IS NOT NULL;
        EXECUTE format('CREATE TABLE palisade.%I (LIKE palisade.flow INCLUDING ALL)', leaf);
        EXECUTE format('REVOKE ALL ON palisade.%I FROM PUBLIC, palisade_api, palisade_gateway, palisade_worker, palisade_system', leaf);
        EXECUTE format('GRANT INSERT ON palisade.%I TO palisade_ingest', leaf);
        EXECUTE format('ALTER TABLE palisade.flow ATTACH PARTITION palisade.%I FOR VALUES FROM (%L) TO (%L)', leaf,
          day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
        made := made + 1;
      END LOOP;
      RETURN made;
    END $$`;

const PARTITION_DAYS = `
    CREATE FUNCTION palisade.flow_partition_days() RETURNS SETOF date
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = palisade, pg_temp AS $$
      SELECT to_date(right(c.relname, 8), 'YYYYMMDD') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'palisade.flow'::regclass ORDER BY 1
    $$`;

const DROP_PARTITIONS = `
    CREATE FUNCTION palisade.flow_drop_partitions(before date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = palisade, pg_temp AS $$
    DECLARE
      day date;
      dropped integer := 0;
    BEGIN
      IF before > current_date THEN
        RAISE EXCEPTION 'only days that are over can be removed' USING ERRCODE = '22023';
      END IF;
      -- Rather later than in front of a queue of readers.
      PERFORM set_config('lock_timeout', '5s', true);
      FOR day IN SELECT * FROM palisade.flow_partition_days() LOOP
        CONTINUE WHEN day >= before;
        EXECUTE format('DROP TABLE palisade.%I', 'flow_' || to_char(day, 'YYYYMMDD'));
        dropped := dropped + 1;
      END LOOP;
      RETURN dropped;
    END $$`;

/** Flows: dictionaries, the ledger of batches, and the flows themselves by day (the 0020s belong to flows). */
export const flows: Step = {
  id: '0020-flows',

  async up(sql) {
    for (const [name, columns] of Object.entries(DICTIONARIES)) await sql.query(dictionary(name, columns));
    await sql.query(LEDGER);
    await sql.query('CREATE INDEX flow_batch_follow ON palisade.flow_batch (tenant_id, commit_order, batch_id)');
    await sql.query('CREATE INDEX flow_batch_incomplete ON palisade.flow_batch (tenant_id, window_end) WHERE incomplete');
    await sql.query(FLOW);
    await sql.query('CREATE INDEX flow_time ON palisade.flow USING brin (last_seen)');
    await sql.query('CREATE INDEX flow_tenant_time ON palisade.flow (tenant_id, last_seen)');
    await sql.query('CREATE INDEX flow_drops ON palisade.flow (tenant_id, last_seen) WHERE verdict = 2');
    for (const table of TENANT_TABLES) {
      await protectTenantTable(sql, table);
      await sql.query(`GRANT SELECT ON palisade.${table} TO palisade_api, palisade_worker`);
      if (table !== 'flow') await sql.query(`GRANT SELECT, INSERT ON palisade.${table} TO palisade_ingest`);
    }
    for (const create of [ENSURE_PARTITIONS, PARTITION_DAYS, DROP_PARTITIONS]) await sql.query(create);
    await grantFunctions(sql);
    await sql.query('SELECT palisade.flow_ensure_partitions(current_date - 1, current_date + 7)');
  },

  async down(sql) {
    for (const signature of Object.keys(FUNCTION_CALLERS)) await sql.query(`DROP FUNCTION palisade.${signature}`);
    for (const table of TENANT_TABLES.toReversed()) await sql.query(`DROP TABLE palisade.${table}`);
  },
};

const FUNCTION_CALLERS = {
  'flow_ensure_partitions(date, date)': 'palisade_ingest, palisade_worker',
  'flow_partition_days()': 'palisade_ingest, palisade_worker',
  'flow_drop_partitions(date)': 'palisade_worker',
};

async function grantFunctions(sql: SqlRunner): Promise<void> {
  for (const [signature, roles] of Object.entries(FUNCTION_CALLERS)) {
    await sql.query(`REVOKE ALL ON FUNCTION palisade.${signature} FROM PUBLIC`);
    await sql.query(`GRANT EXECUTE ON FUNCTION palisade.${signature} TO ${roles}`);
  }
}
