import type { Step } from '../step.ts';

const UNIQUE_CONTENT = `
  DO $$ DECLARE known text; BEGIN
    SELECT conname INTO STRICT known FROM pg_constraint WHERE conrelid = 'palisade.bundles'::regclass AND contype = 'u';
    EXECUTE format('ALTER TABLE palisade.bundles DROP CONSTRAINT %I', known);
  END $$;`;

/**
 * A policy revision staged as shadow beside the live one, what VALIDATING found, and how many nodes may be in flight at once
 * (trust-and-fleet §2 and §3).
 */
export const rolloutValidation: Step = {
  id: '0019-rollout-validation',

  async up(sql) {
    await sql.query(`
      ALTER TABLE palisade.rollouts
        ADD COLUMN shadow_policy_revision bigint,
        ADD COLUMN max_in_flight integer CHECK (max_in_flight > 0),
        ADD COLUMN validation jsonb;
      ALTER TABLE palisade.bundles ADD COLUMN shadow_policy_sha256 text CHECK (shadow_policy_sha256 ~ '^[0-9a-f]{64}$');
      ${UNIQUE_CONTENT}
      ALTER TABLE palisade.bundles ADD CONSTRAINT bundles_content UNIQUE NULLS NOT DISTINCT (tenant_id, cluster_id, content_digests, policy_revision, shadow_policy_revision);
    `);
  },

  async down(sql) {
    await sql.query(`
      ${UNIQUE_CONTENT}
      ALTER TABLE palisade.bundles ADD UNIQUE (tenant_id, cluster_id, content_digests, policy_revision);
      ALTER TABLE palisade.bundles DROP COLUMN shadow_policy_sha256;
      ALTER TABLE palisade.rollouts DROP COLUMN validation, DROP COLUMN max_in_flight, DROP COLUMN shadow_policy_revision;
    `);
  },
};
