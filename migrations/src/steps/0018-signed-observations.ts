import type { Step } from '../step.ts';

/**
 * Nodes sign what they say of the bundle they run (docs/security.md): the gateway stores the envelope, the worker verifies
 * it and remembers, per rollout and node, how far it has read, so that nothing older is believed again. The same for
 * endpoint reports.
 */
export const signedObservations: Step = {
  id: '0018-signed-observations',

  async up(sql) {
    await sql.query(`
      ALTER TABLE palisade.node_observations ADD COLUMN signed bytea CHECK (octet_length(signed) <= 65536);
      ALTER TABLE palisade.rollout_nodes ADD COLUMN heard_boot bigint NOT NULL DEFAULT 0, ADD COLUMN heard_sequence bigint NOT NULL DEFAULT 0;
      ALTER TABLE palisade.endpoint_report_results ADD COLUMN report_boot bigint NOT NULL DEFAULT 0;
      -- Key id of the director that signed the newest identity message: after its rotation a snapshot is signed anew.
      ALTER TABLE palisade.identity_heads ADD COLUMN signed_by text;
    `);
  },

  async down(sql) {
    await sql.query(`
      ALTER TABLE palisade.identity_heads DROP COLUMN signed_by;
      ALTER TABLE palisade.endpoint_report_results DROP COLUMN report_boot;
      ALTER TABLE palisade.rollout_nodes DROP COLUMN heard_boot, DROP COLUMN heard_sequence;
      ALTER TABLE palisade.node_observations DROP COLUMN signed;
    `);
  },
};
