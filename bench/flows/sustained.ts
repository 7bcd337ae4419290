/** Memory of the gateway's part over a long run at a steady rate. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { IngestFlowBatch } from '@palisade/control';
import { PostgresFlowSink } from '@palisade/flow-store';
import { decodeFlowBatch, encodeFlowBatch } from '@palisade/protocol';
import pg from 'pg';
import type { BenchDatabase } from './database.ts';
import { CLUSTER, median, TENANT } from './ingest-rates.ts';
import { Traffic } from './traffic.ts';

export interface SustainedFigures {
  readonly sustained_rows_per_s: number;
  /** Median of the last fifth of the run less that of the second; the first one warms up. */
  readonly rss_growth_mb: number;
  /** Batches that were not stored at the first try. */
  readonly sustained_deferred: number;
}

const AGENTS = 20;

/** Twenty agents send one batch a second each, `rate` flows a second together. */
export async function measureSustained(database: BenchDatabase, minutes: number, rate: number): Promise<SustainedFigures> {
  const pool = new pg.Pool({ connectionString: database.ingestUrl, max: 4 });
  pool.on('error', () => undefined);
  const ingest = new IngestFlowBatch({ sink: new PostgresFlowSink(pool) });
  const rss: number[] = [];
  let stored = 0;
  let deferred = 0;
  const startedMs = Date.now();
  const untilMs = startedMs + minutes * 60_000;
  const agent = async (number: number): Promise<void> => {
    const traffic = new Traffic(number, number);
    const bootId = randomUUID();
    for (let seq = 1; Date.now() < untilMs; seq++) {
      const beganMs = Date.now();
      const bytes = encodeFlowBatch(traffic.batch(bootId, seq, Math.round(rate / AGENTS), beganMs * 1000));
      for (let again = true; again; ) {
        const { outcome } = await ingest.execute({ sender: { tenantId: TENANT, clusterId: CLUSTER, nodeId: bootId }, batch: decodeFlowBatch(bytes) });
        again = outcome.kind === 'deferred';
        if (outcome.kind === 'stored') stored += outcome.rows;
        if (outcome.kind === 'deferred') {
          deferred++;
          await delay(outcome.retryAfterMs);
        }
      }
      await delay(Math.max(0, beganMs + 1000 - Date.now()));
    }
  };
  const watch = async (): Promise<void> => {
    for (; Date.now() < untilMs; await delay(1_000)) rss.push(process.memoryUsage().rss / 2 ** 20);
  };
  await Promise.all([watch(), ...Array.from({ length: AGENTS }, async (_, number) => {
    await delay((number * 1000) / AGENTS);
    await agent(number);
  })]);
  const elapsedS = (Date.now() - startedMs) / 1000;
  await ingest.close();
  await pool.end();
  const fifth = Math.max(1, Math.floor(rss.length / 5));
  return {
    sustained_rows_per_s: stored / elapsedS, sustained_deferred: deferred,
    rss_growth_mb: Math.max(0, median(rss.slice(-fifth)) - median(rss.slice(fifth, 2 * fifth))),
  };
}
