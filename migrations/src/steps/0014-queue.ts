import type { Step } from '../step.ts';

/** The schema that the job queue of the worker keeps its own tables in, where no Redis is used. It holds ids only. */
export const queue: Step = {
  id: '0014-queue',

  async up(sql) {
    await sql.query('CREATE SCHEMA bullmq');
    await sql.query('GRANT USAGE, CREATE ON SCHEMA bullmq TO palisade_worker');
  },

  async down(sql) {
    // What is in it belongs to the worker; nothing in a queue is the truth of anything.
    await sql.query('DROP SCHEMA bullmq CASCADE');
  },
};
