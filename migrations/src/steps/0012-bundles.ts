import type { Step } from '../step.ts';
import { protectTenantTable } from '../tenant-table.ts';

const TABLES = ['blobs', 'bundles', 'generation_heads', 'generations'] as const;

/** Bundles, their manifests and blobs, trust metadata, and the generations of a cluster (trust-and-fleet §2). */
export const bundles: Step = {
  id: '0012-bundles',

  async up(sql) {
    await sql.query(`
      CREATE TABLE palisade.blobs (
        tenant_id uuid NOT NULL,
        -- Lower-case hex of the bytes.
        sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
        bytes bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, sha256)
      );
      CREATE TABLE palisade.bundles (
        tenant_id uuid NOT NULL,
        id uuid NOT NULL DEFAULT uuidv7(),
        cluster_id uuid NOT NULL,
        -- {"amd64":"<hex>",…}: what nodes of each architecture report when they run it.
        content_digests jsonb NOT NULL,
        policy_revision bigint NOT NULL,
        shadow_policy_revision bigint,
        policy_sha256 text NOT NULL,
        -- What the manifest says of the content: programs, maps, kernel needs.
        content jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, id),
        UNIQUE (tenant_id, cluster_id, content_digests, policy_revision),
        FOREIGN KEY (tenant_id, cluster_id) REFERENCES palisade.clusters (tenant_id, id) ON DELETE CASCADE
      );
      CREATE TABLE palisade.generation_heads (
        tenant_id uuid NOT NULL,
        cluster_id uuid NOT NULL,
        epoch bigint NOT NULL DEFAULT 1,
        n bigint NOT NULL DEFAULT 0,
        -- The generation that every node of the cluster is meant to run; null before the first success.
        adopted_epoch bigint,
        adopted_n bigint,
        PRIMARY KEY (tenant_id, cluster_id),
        FOREIGN KEY (tenant_id, cluster_id) REFERENCES palisade.clusters (tenant_id, id) ON DELETE CASCADE
      );
      CREATE FUNCTION palisade.generation_only_rises() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF (NEW.epoch, NEW.n) < (OLD.epoch, OLD.n) THEN
            RAISE EXCEPTION 'the generation of a cluster only rises; a rollback is a new generation' USING ERRCODE = 'check_violation';
          END IF;
          RETURN NEW;
        END $$;
      CREATE TRIGGER generation_only_rises BEFORE UPDATE ON palisade.generation_heads
        FOR EACH ROW EXECUTE FUNCTION palisade.generation_only_rises();
      CREATE TABLE palisade.generations (
        tenant_id uuid NOT NULL,
        cluster_id uuid NOT NULL,
        epoch bigint NOT NULL,
        n bigint NOT NULL,
        arch text NOT NULL,
        bundle_id uuid NOT NULL,
        content_digest text NOT NULL CHECK (content_digest ~ '^[0-9a-f]{64}$'),
        manifest_sha256 text NOT NULL CHECK (manifest_sha256 ~ '^[0-9a-f]{64}$'),
        manifest bytea NOT NULL,
        minimum_identity_revision bigint NOT NULL,
        revert_of uuid,
        expires_at timestamptz NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, cluster_id, epoch, n, arch),
        UNIQUE (tenant_id, manifest_sha256),
        FOREIGN KEY (tenant_id, bundle_id) REFERENCES palisade.bundles (tenant_id, id)
      );
      -- Root, targets, snapshot and timestamp of the image repository: one for the whole platform.
      CREATE TABLE palisade.trust_metadata (
        role text NOT NULL CHECK (role IN ('root', 'targets', 'snapshot', 'timestamp')),
        version bigint NOT NULL,
        bytes bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (role, version)
      );
    `);
    for (const table of TABLES) await protectTenantTable(sql, table);
    await sql.query(`
      GRANT SELECT ON palisade.bundles, palisade.generations, palisade.generation_heads TO palisade_api;
      GRANT SELECT, INSERT ON palisade.blobs, palisade.bundles, palisade.generations, palisade.trust_metadata TO palisade_worker;
      GRANT SELECT, INSERT, UPDATE ON palisade.generation_heads TO palisade_worker;
      GRANT SELECT ON palisade.blobs, palisade.generations, palisade.generation_heads, palisade.trust_metadata TO palisade_gateway;
    `);
  },

  async down(sql) {
    await sql.query(`
      DROP TABLE palisade.trust_metadata, palisade.generations, palisade.generation_heads, palisade.bundles, palisade.blobs;
      DROP FUNCTION palisade.generation_only_rises();
    `);
  },
};
