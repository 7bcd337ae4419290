import type { Step } from '../step.ts';

/** What root did on a node while nobody could see it (break-glass) is audited once when the node tells of it. */
export const localActs: Step = {
  id: '0016-local-acts',

  async up(sql) {
    // Unix ms of the newest act that is in the audit log.
    await sql.query('ALTER TABLE palisade.nodes ADD COLUMN audited_act_ms bigint NOT NULL DEFAULT 0');
  },

  async down(sql) {
    await sql.query('ALTER TABLE palisade.nodes DROP COLUMN audited_act_ms');
  },
};
