import type { SqlRunner, Step } from '../step.ts';
import { dropSystemFunction, giveToSystem, openToSystem, protectTenantTable } from '../tenant-table.ts';

const TABLES = ['enrollment_tokens', 'nodes', 'node_certificates'] as const;

/**
 * Enrollment (trust-and-fleet §1): tokens, nodes, their certificates, and the requests that the gateway carries.
 * Only the worker writes nodes and certificates; the gateway's role may put requests down and read their outcome.
 */
export const enrollment: Step = {
  id: '0010-enrollment',

  async up(sql) {
    await sql.query(`
      CREATE TABLE palisade.enrollment_tokens (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL DEFAULT uuidv7(),
        cluster_id uuid NOT NULL,
        public_id text NOT NULL UNIQUE CHECK (public_id ~ '^[A-Za-z0-9]{12}$'),
        name text NOT NULL,
        secret_hash bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
        max_uses integer NOT NULL CHECK (max_uses BETWEEN 1 AND 100000),
        uses integer NOT NULL DEFAULT 0,
        expires_at timestamptz NOT NULL,
        revoked_at timestamptz,
        labels jsonb NOT NULL DEFAULT '{}',
        required_attestation text CHECK (required_attestation IN ('aws-iid', 'azure-imds', 'k8s-sat')),
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        last_used_at timestamptz,
        last_node_id uuid,
        PRIMARY KEY (tenant_id, id),
        FOREIGN KEY (tenant_id, cluster_id) REFERENCES palisade.clusters (tenant_id, id) ON DELETE CASCADE,
        CHECK (uses >= 0 AND uses <= max_uses),
        CHECK (expires_at <= created_at + interval '30 days 1 minute')
      );
      CREATE INDEX enrollment_tokens_by_cluster ON palisade.enrollment_tokens (tenant_id, cluster_id, id);

      CREATE TABLE palisade.nodes (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL DEFAULT uuidv7(),
        cluster_id uuid NOT NULL,
        name text NOT NULL,
        enrollment_uuid uuid NOT NULL,
        token_id uuid NOT NULL,
        -- SubjectPublicKeyInfo, DER: the key that endpoint reports and recovery are verified with.
        public_key bytea NOT NULL,
        state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'locked', 'revoked')),
        state_reason text,
        labels jsonb NOT NULL DEFAULT '{}',
        hostname text NOT NULL,
        agent_version text NOT NULL,
        arch text NOT NULL,
        kernel jsonb NOT NULL,
        addresses text[] NOT NULL DEFAULT '{}',
        -- Prefixes the cluster assigned to this node; null: none are assigned and only conflicts are refused.
        address_ranges text[],
        attestation jsonb NOT NULL,
        -- The fact of this node that is in the identity stream; null: not yet, or not any more.
        published_fact jsonb,
        enrolled_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        UNIQUE (tenant_id, enrollment_uuid),
        UNIQUE (tenant_id, cluster_id, name),
        FOREIGN KEY (tenant_id, cluster_id) REFERENCES palisade.clusters (tenant_id, id) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, token_id) REFERENCES palisade.enrollment_tokens (tenant_id, id)
      );
      CREATE INDEX nodes_by_cluster ON palisade.nodes (tenant_id, cluster_id, id);
      CREATE INDEX nodes_by_token ON palisade.nodes (tenant_id, token_id);

      CREATE TABLE palisade.node_certificates (
        tenant_id uuid NOT NULL,
        node_id uuid NOT NULL,
        -- Lower-case hex.
        serial text NOT NULL,
        chain_pem text NOT NULL,
        public_key bytea NOT NULL,
        not_before timestamptz NOT NULL,
        not_after timestamptz NOT NULL,
        issued_for text NOT NULL CHECK (issued_for IN ('enroll', 'renew', 'recover')),
        replaced_by text,
        issued_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, serial),
        FOREIGN KEY (tenant_id, node_id) REFERENCES palisade.nodes (tenant_id, id) ON DELETE CASCADE
      );
      CREATE INDEX node_certificates_by_node ON palisade.node_certificates (tenant_id, node_id, issued_at DESC);

      -- What agents ask for through the gateway. Which tenant a request belongs to is only known once the worker has
      -- looked at it, so this is a platform table; rows live for minutes.
      CREATE TABLE palisade.agent_requests (
        id uuid PRIMARY KEY DEFAULT uuidv7(),
        kind text NOT NULL CHECK (kind IN ('enroll', 'renew', 'recover')),
        input jsonb NOT NULL,
        csr bytea NOT NULL CHECK (octet_length(csr) <= 8192),
        source_address text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz,
        -- {"status":200,…} or {"status":401,"code":…,"detail":…}
        outcome jsonb
      );
      CREATE INDEX agent_requests_open ON palisade.agent_requests (id) WHERE finished_at IS NULL;
      CREATE INDEX agent_requests_finished ON palisade.agent_requests (finished_at) WHERE finished_at IS NOT NULL;

      CREATE TABLE palisade.recovery_challenges (
        nonce bytea PRIMARY KEY CHECK (octet_length(nonce) = 32),
        node_id uuid NOT NULL,
        expires_at timestamptz NOT NULL,
        used_at timestamptz
      );
      CREATE INDEX recovery_challenges_by_node ON palisade.recovery_challenges (node_id, expires_at);
    `);
    for (const table of TABLES) await protectTenantTable(sql, table);
    await sql.query(`
      GRANT SELECT, INSERT, UPDATE ON palisade.enrollment_tokens TO palisade_api;
      GRANT SELECT ON palisade.nodes, palisade.node_certificates TO palisade_api;
      GRANT UPDATE (state, state_reason, address_ranges, labels) ON palisade.nodes TO palisade_api;

      GRANT SELECT, UPDATE ON palisade.enrollment_tokens TO palisade_worker;
      GRANT SELECT, INSERT, UPDATE ON palisade.nodes, palisade.node_certificates TO palisade_worker;
      GRANT SELECT, UPDATE, DELETE ON palisade.agent_requests, palisade.recovery_challenges TO palisade_worker;

      GRANT SELECT (tenant_id, id, cluster_id, name, state) ON palisade.nodes TO palisade_gateway;
      GRANT INSERT (id, kind, input, csr, source_address) ON palisade.agent_requests TO palisade_gateway;
      GRANT SELECT (id, kind, created_at, finished_at, outcome) ON palisade.agent_requests TO palisade_gateway;
      GRANT INSERT (nonce, node_id, expires_at) ON palisade.recovery_challenges TO palisade_gateway;
      GRANT SELECT (node_id, expires_at) ON palisade.recovery_challenges TO palisade_gateway;
    `);
    await createOwnerLookups(sql);
  },

  async down(sql) {
    await dropSystemFunction(sql, 'palisade.tenant_of_node(uuid)');
    await dropSystemFunction(sql, 'palisade.tenant_of_enrollment_token(text)');
    await sql.query(`
      DROP TABLE palisade.recovery_challenges, palisade.agent_requests, palisade.node_certificates, palisade.nodes, palisade.enrollment_tokens;
    `);
  },
};

/** Before the tenant is known: the tenant of a token or node by its public id, and nothing else. */
async function createOwnerLookups(sql: SqlRunner): Promise<void> {
  await openToSystem(sql, 'enrollment_tokens', 'SELECT');
  await openToSystem(sql, 'nodes', 'SELECT');
  await sql.query('CREATE UNIQUE INDEX nodes_by_id ON palisade.nodes (id)');
  await sql.query(`
    CREATE FUNCTION palisade.tenant_of_enrollment_token(wanted text) RETURNS TABLE (tenant_id uuid, token_id uuid)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT t.tenant_id, t.id FROM palisade.enrollment_tokens t WHERE t.public_id = wanted $$`);
  await giveToSystem(sql, 'palisade.tenant_of_enrollment_token(text)', ['palisade_worker']);
  await sql.query(`
    CREATE FUNCTION palisade.tenant_of_node(wanted uuid) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
    AS $$ SELECT n.tenant_id FROM palisade.nodes n WHERE n.id = wanted $$`);
  await giveToSystem(sql, 'palisade.tenant_of_node(uuid)', ['palisade_worker']);
}
