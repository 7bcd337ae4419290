import type { Step } from '../step.ts';
import { protectTenantTable } from '../tenant-table.ts';

const TABLES = ['identity_counters', 'identities', 'endpoint_reports', 'endpoint_report_results', 'workloads', 'cluster_services', 'identity_heads', 'identity_stream'] as const;

/**
 * Identities and their signed stream (trust-and-fleet §2), endpoint reports as nodes signed them, and what was taken
 * from them. The gateway stores envelopes and nothing that is concluded from them.
 */
export const identities: Step = {
  id: '0011-identities',

  async up(sql) {
    await sql.query(`
      CREATE TABLE palisade.identity_counters (
        tenant_id uuid PRIMARY KEY,
        -- Numbers below 256 are reserved; a number is never given twice.
        next_id bigint NOT NULL DEFAULT 256 CHECK (next_id BETWEEN 256 AND 4294967295)
      );
      CREATE TABLE palisade.identities (
        tenant_id uuid NOT NULL,
        id bigint NOT NULL CHECK (id BETWEEN 256 AND 4294967294),
        labels jsonb NOT NULL,
        labels_digest bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        UNIQUE (tenant_id, labels_digest)
      );
      CREATE TABLE palisade.endpoint_reports (
        tenant_id uuid NOT NULL,
        node_id uuid NOT NULL,
        cluster_id uuid NOT NULL,
        envelope bytea NOT NULL CHECK (octet_length(envelope) <= 1048576),
        version bigint NOT NULL DEFAULT 1,
        received_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, node_id),
        FOREIGN KEY (tenant_id, node_id) REFERENCES palisade.nodes (tenant_id, id) ON DELETE CASCADE
      );
      CREATE TABLE palisade.endpoint_report_results (
        tenant_id uuid NOT NULL,
        node_id uuid NOT NULL,
        cluster_id uuid NOT NULL,
        version bigint NOT NULL,
        accepted boolean NOT NULL,
        -- Refusals, one a line, for a person.
        problems jsonb NOT NULL DEFAULT '[]',
        report_sequence bigint NOT NULL DEFAULT 0,
        processed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, node_id),
        FOREIGN KEY (tenant_id, node_id) REFERENCES palisade.nodes (tenant_id, id) ON DELETE CASCADE
      );
      CREATE TABLE palisade.workloads (
        tenant_id uuid NOT NULL,
        cluster_id uuid NOT NULL,
        key text NOT NULL,
        node_id uuid NOT NULL,
        identity_id bigint NOT NULL,
        network text NOT NULL,
        addresses text[] NOT NULL,
        -- Addresses that another node's workload also claims: bound to neither.
        conflicting text[] NOT NULL DEFAULT '{}',
        fact jsonb NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, cluster_id, key),
        FOREIGN KEY (tenant_id, cluster_id) REFERENCES palisade.clusters (tenant_id, id) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, node_id) REFERENCES palisade.nodes (tenant_id, id) ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, identity_id) REFERENCES palisade.identities (tenant_id, id)
      );
      CREATE INDEX workloads_by_node ON palisade.workloads (tenant_id, node_id);
      CREATE INDEX workloads_by_identity ON palisade.workloads (tenant_id, identity_id);
      CREATE TABLE palisade.cluster_services (
        tenant_id uuid NOT NULL,
        cluster_id uuid NOT NULL,
        key text NOT NULL,
        node_id uuid NOT NULL,
        fact jsonb NOT NULL,
        PRIMARY KEY (tenant_id, cluster_id, key),
        FOREIGN KEY (tenant_id, node_id) REFERENCES palisade.nodes (tenant_id, id) ON DELETE CASCADE
      );
      CREATE TABLE palisade.identity_heads (
        tenant_id uuid NOT NULL,
        cluster_id uuid NOT NULL,
        epoch bigint NOT NULL DEFAULT 1,
        revision bigint NOT NULL DEFAULT 0,
        snapshot_revision bigint NOT NULL DEFAULT 0,
        PRIMARY KEY (tenant_id, cluster_id),
        FOREIGN KEY (tenant_id, cluster_id) REFERENCES palisade.clusters (tenant_id, id) ON DELETE CASCADE
      );
      CREATE TABLE palisade.identity_stream (
        tenant_id uuid NOT NULL,
        cluster_id uuid NOT NULL,
        revision bigint NOT NULL,
        kind text NOT NULL CHECK (kind IN ('snapshot', 'increment')),
        previous_revision bigint NOT NULL,
        envelope bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, cluster_id, kind, revision),
        FOREIGN KEY (tenant_id, cluster_id) REFERENCES palisade.clusters (tenant_id, id) ON DELETE CASCADE
      );
    `);
    for (const table of TABLES) await protectTenantTable(sql, table);
    await sql.query(`
      GRANT SELECT ON palisade.identities, palisade.workloads, palisade.cluster_services, palisade.endpoint_report_results,
        palisade.identity_heads TO palisade_api;
      GRANT SELECT, INSERT, UPDATE, DELETE ON palisade.identity_counters, palisade.identities, palisade.endpoint_report_results,
        palisade.workloads, palisade.cluster_services, palisade.identity_heads, palisade.identity_stream TO palisade_worker;
      GRANT SELECT ON palisade.endpoint_reports TO palisade_worker;
      GRANT SELECT, INSERT ON palisade.endpoint_reports TO palisade_gateway;
      GRANT UPDATE (envelope, version, received_at) ON palisade.endpoint_reports TO palisade_gateway;
      GRANT SELECT ON palisade.identity_heads, palisade.identity_stream TO palisade_gateway;
    `);
  },

  async down(sql) {
    await sql.query(`
      DROP TABLE palisade.identity_stream, palisade.identity_heads, palisade.cluster_services, palisade.workloads,
        palisade.endpoint_report_results, palisade.endpoint_reports, palisade.identities, palisade.identity_counters;
    `);
  },
};
