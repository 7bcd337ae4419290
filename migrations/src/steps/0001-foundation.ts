import type { SqlRunner, Step } from '../step.ts';
import { dropSystemFunction, giveToSystem, openToSystem, protectTenantTable } from '../tenant-table.ts';

const TABLES = ['tenants', 'api_tokens', 'clusters', 'policy_revisions', 'policies', 'policy_versions', 'audit_head', 'audit_event', 'idempotency_keys'] as const;

/** Tenants, access, clusters, policies, audit. Ids are UUIDv7: in order of creation, so key order is a stable page order. */
export const foundation: Step = {
  id: '0001-foundation',

  async up(sql) {
    await sql.query('REVOKE ALL ON SCHEMA palisade FROM PUBLIC');
    await sql.query('GRANT USAGE ON SCHEMA palisade TO palisade_api, palisade_gateway, palisade_worker, palisade_ingest, palisade_system');
    // Functions are callable by everybody unless this is said; tables never are.
    await sql.query('ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC');
    await createAccess(sql);
    await createClustersAndPolicies(sql);
    await createAudit(sql);
    await createIdempotency(sql);
    for (const table of TABLES) await protectTenantTable(sql, table);
    await grant(sql);
    await createFunctions(sql);
  },

  async down(sql) {
    await dropSystemFunction(sql, 'palisade.find_api_token(text)');
    await dropSystemFunction(sql, 'palisade.list_tenants()');
    await sql.query('DROP FUNCTION palisade.wake(text, jsonb)');
    for (const table of TABLES.toReversed()) await sql.query(`DROP TABLE palisade.${table}`);
    await sql.query('ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC');
    await sql.query('REVOKE USAGE ON SCHEMA palisade FROM palisade_api, palisade_gateway, palisade_worker, palisade_ingest, palisade_system');
  },
};

async function createAccess(sql: SqlRunner): Promise<void> {
  await sql.query(`
    CREATE TABLE palisade.tenants (
      tenant_id    uuid PRIMARY KEY DEFAULT uuidv7(),
      name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
      created_at   timestamptz NOT NULL DEFAULT now(),
      suspended_at timestamptz
    )`);
  await sql.query(`
    CREATE TABLE palisade.api_tokens (
      tenant_id    uuid NOT NULL REFERENCES palisade.tenants,
      id           uuid NOT NULL DEFAULT uuidv7(),
      public_id    text NOT NULL,
      name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
      secret_hash  bytea NOT NULL CHECK (length(secret_hash) = 32),
      roles        text[] NOT NULL CHECK (cardinality(roles) > 0),
      clusters     uuid[],
      namespaces   text[],
      created_by   text NOT NULL,
      created_at   timestamptz NOT NULL DEFAULT now(),
      expires_at   timestamptz,
      revoked_at   timestamptz,
      last_used_at timestamptz,
      PRIMARY KEY (tenant_id, id),
      CONSTRAINT api_tokens_public_id UNIQUE (public_id)
    )`);
  await sql.query("COMMENT ON COLUMN palisade.api_tokens.clusters IS 'NULL: all; an empty list: none'");
  await sql.query("COMMENT ON COLUMN palisade.api_tokens.namespaces IS 'NULL: all; an empty list: none'");
}

async function createClustersAndPolicies(sql: SqlRunner): Promise<void> {
  await sql.query(`
    CREATE TABLE palisade.clusters (
      tenant_id       uuid NOT NULL REFERENCES palisade.tenants,
      id              uuid NOT NULL DEFAULT uuidv7(),
      name            text NOT NULL,
      settings        jsonb NOT NULL,
      policy_revision integer NOT NULL DEFAULT 0,
      version         integer NOT NULL DEFAULT 1,
      created_at      timestamptz NOT NULL DEFAULT now(),
      updated_at      timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (tenant_id, id),
      CONSTRAINT clusters_name UNIQUE (tenant_id, name)
    )`);
  await sql.query(`
    CREATE TABLE palisade.policy_revisions (
      tenant_id  uuid NOT NULL,
      cluster_id uuid NOT NULL,
      revision   integer NOT NULL CHECK (revision > 0),
      source     text NOT NULL,
      digest     text NOT NULL,
      created_by text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      applied    integer NOT NULL,
      removed    integer NOT NULL,
      PRIMARY KEY (tenant_id, cluster_id, revision),
      FOREIGN KEY (tenant_id, cluster_id) REFERENCES palisade.clusters
    )`);
  await sql.query("COMMENT ON COLUMN palisade.policy_revisions.digest IS 'SHA-256 (hex) of the canonical policy set at this revision'");
  await sql.query(`
    CREATE TABLE palisade.policies (
      tenant_id  uuid NOT NULL,
      id         uuid NOT NULL DEFAULT uuidv7(),
      cluster_id uuid NOT NULL,
      kind       text NOT NULL,
      namespace  text,
      name       text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (tenant_id, id),
      FOREIGN KEY (tenant_id, cluster_id) REFERENCES palisade.clusters,
      CONSTRAINT policies_key UNIQUE NULLS NOT DISTINCT (tenant_id, cluster_id, kind, namespace, name)
    )`);
  await sql.query(`
    CREATE TABLE palisade.policy_versions (
      tenant_id  uuid NOT NULL,
      policy_id  uuid NOT NULL,
      cluster_id uuid NOT NULL,
      revision   integer NOT NULL,
      ended_at_revision integer CHECK (ended_at_revision > revision),
      ir         jsonb NOT NULL,
      digest     text NOT NULL,
      PRIMARY KEY (tenant_id, policy_id, revision),
      FOREIGN KEY (tenant_id, policy_id) REFERENCES palisade.policies,
      FOREIGN KEY (tenant_id, cluster_id, revision) REFERENCES palisade.policy_revisions
    )`);
  await sql.query("COMMENT ON COLUMN palisade.policy_versions.ended_at_revision IS 'Cluster revision that replaced or removed this version; NULL: in force now'");
  await sql.query('CREATE INDEX policy_versions_span ON palisade.policy_versions (tenant_id, cluster_id, revision, ended_at_revision)');
  await sql.query('CREATE UNIQUE INDEX policy_versions_current ON palisade.policy_versions (tenant_id, policy_id) WHERE ended_at_revision IS NULL');
}

async function createAudit(sql: SqlRunner): Promise<void> {
  await sql.query(`
    CREATE TABLE palisade.audit_head (
      tenant_id uuid PRIMARY KEY REFERENCES palisade.tenants,
      seq       bigint NOT NULL,
      hash      bytea NOT NULL CHECK (length(hash) = 32)
    )`);
  await sql.query(`
    CREATE TABLE palisade.audit_event (
      tenant_id      uuid NOT NULL REFERENCES palisade.tenants,
      seq            bigint NOT NULL CHECK (seq > 0),
      id             uuid NOT NULL,
      version        smallint NOT NULL,
      time           timestamptz(3) NOT NULL,
      action         text NOT NULL,
      outcome        text NOT NULL CHECK (outcome IN ('success', 'denied', 'failure')),
      actor_kind     text NOT NULL,
      actor_id       text NOT NULL,
      actor_name     text NOT NULL,
      target_kind    text NOT NULL,
      target_id      text NOT NULL,
      target_name    text,
      summary        text NOT NULL,
      request_id     text,
      source_address text,
      before_digest  text,
      after_digest   text,
      details        jsonb,
      previous_hash  bytea NOT NULL,
      hash           bytea NOT NULL,
      PRIMARY KEY (tenant_id, seq),
      CONSTRAINT audit_event_id UNIQUE (tenant_id, id)
    )`);
  await sql.query('CREATE INDEX audit_event_time ON palisade.audit_event (tenant_id, time)');
  await sql.query('CREATE INDEX audit_event_target ON palisade.audit_event (tenant_id, target_kind, target_id, seq)');
}

async function createIdempotency(sql: SqlRunner): Promise<void> {
  await sql.query(`
    CREATE TABLE palisade.idempotency_keys (
      tenant_id    uuid NOT NULL REFERENCES palisade.tenants,
      key_hash     bytea NOT NULL CHECK (length(key_hash) = 32),
      request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
      locked_until timestamptz NOT NULL,
      status       smallint,
      response     bytea,
      created_at   timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (tenant_id, key_hash)
    )`);
  await sql.query("COMMENT ON COLUMN palisade.idempotency_keys.response IS 'Encrypted with a key made of the request''s own bearer token: the table alone tells no secret'");
  await sql.query('CREATE INDEX idempotency_keys_age ON palisade.idempotency_keys (tenant_id, created_at)');
}

async function grant(sql: SqlRunner): Promise<void> {
  await sql.query('GRANT SELECT ON palisade.tenants TO palisade_api, palisade_worker, palisade_gateway');
  await sql.query('GRANT SELECT, INSERT ON palisade.api_tokens TO palisade_api');
  await sql.query('GRANT UPDATE (revoked_at, last_used_at) ON palisade.api_tokens TO palisade_api');
  await sql.query('GRANT SELECT, INSERT, UPDATE ON palisade.clusters TO palisade_api');
  await sql.query('GRANT SELECT ON palisade.clusters TO palisade_worker');
  // FOR UPDATE and FOR SHARE need an UPDATE privilege on some column: the worker locks clusters, it never renames them.
  await sql.query('GRANT UPDATE (updated_at) ON palisade.clusters TO palisade_worker');
  await sql.query('GRANT SELECT, INSERT ON palisade.policy_revisions, palisade.policies, palisade.policy_versions TO palisade_api');
  await sql.query('GRANT UPDATE (ended_at_revision) ON palisade.policy_versions TO palisade_api');
  await sql.query('GRANT SELECT ON palisade.policy_revisions, palisade.policies, palisade.policy_versions TO palisade_worker');
  await sql.query('GRANT SELECT, INSERT ON palisade.audit_head, palisade.audit_event TO palisade_api, palisade_worker');
  await sql.query('GRANT UPDATE (seq, hash) ON palisade.audit_head TO palisade_api, palisade_worker');
  await sql.query('GRANT SELECT, INSERT, UPDATE, DELETE ON palisade.idempotency_keys TO palisade_api');
}

async function createFunctions(sql: SqlRunner): Promise<void> {
  await sql.query(`
    CREATE FUNCTION palisade.wake(topic text, ids jsonb DEFAULT '{}') RETURNS void
    LANGUAGE sql SET search_path = pg_catalog
    AS $$ SELECT pg_notify('palisade_wake',
            (ids || jsonb_build_object('topic', topic, 'tenant', NULLIF(current_setting('app.tenant_id', true), '')))::text) $$`);
  await sql.query('REVOKE ALL ON FUNCTION palisade.wake(text, jsonb) FROM PUBLIC');
  await sql.query('GRANT EXECUTE ON FUNCTION palisade.wake(text, jsonb) TO palisade_api, palisade_gateway, palisade_worker, palisade_ingest');

  await openToSystem(sql, 'tenants', 'SELECT');
  await openToSystem(sql, 'api_tokens', 'SELECT');
  // The tenant of a bearer token is not known before the token is found.
  await sql.query(`
    CREATE FUNCTION palisade.find_api_token(wanted text)
    RETURNS TABLE (tenant_id uuid, id uuid, name text, secret_hash bytea, roles text[], clusters uuid[], namespaces text[],
                   expires_at timestamptz, revoked_at timestamptz, last_used_at timestamptz, suspended_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT t.tenant_id, t.id, t.name, t.secret_hash, t.roles, t.clusters, t.namespaces, t.expires_at, t.revoked_at,
                 t.last_used_at, o.suspended_at
          FROM palisade.api_tokens t JOIN palisade.tenants o USING (tenant_id)
          WHERE t.public_id = wanted $$`);
  await giveToSystem(sql, 'palisade.find_api_token(text)', ['palisade_api']);
  // Pollers go from tenant to tenant.
  await sql.query(`
    CREATE FUNCTION palisade.list_tenants()
    RETURNS TABLE (tenant_id uuid, name text, suspended_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT t.tenant_id, t.name, t.suspended_at FROM palisade.tenants t ORDER BY t.tenant_id $$`);
  await giveToSystem(sql, 'palisade.list_tenants()', ['palisade_worker', 'SESSION_USER']);
}
