import type { Step } from '../step.ts';

/** Set in the transaction of the change itself, so that a process that dies before it has kept its answer leaves a trace. */
export const idempotencyApplied: Step = {
  id: '0004-idempotency-applied',

  async up(sql) {
    await sql.query('ALTER TABLE palisade.idempotency_keys ADD COLUMN applied_at timestamptz');
  },

  async down(sql) {
    await sql.query('ALTER TABLE palisade.idempotency_keys DROP COLUMN applied_at');
  },
};
