import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { IngestFlowBatch, type SentFlowBatch } from '@palisade/control';
import { parseTenantId, type TenantId } from '@palisade/tenancy';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { sampleFlow, sent } from '../testing/sample-flows.ts';
import { PostgresFlowSink } from './postgres-flow-sink.ts';

const LIMITS = { queueRows: 8_000, tenantRows: 4_000, commitRows: 4_000, commits: 2, retryAfterMs: 5 };
const ROWS = 1_000;

let database: TestDatabase;
let pool: pg.Pool;
let admin: pg.Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = new pg.Pool({ connectionString: database.ingestUrl, max: 4 });
  admin = new pg.Pool({ connectionString: database.adminUrl, max: 1 });
});

afterAll(async () => {
  await pool.end();
  await admin.end();
  await database.drop();
});

async function storedFlows(tenantId: TenantId): Promise<{ flows: number; distinct: number }> {
  const { rows } = await admin.query<{ flows: number; distinct: number }>('SELECT count(*)::integer AS flows, count(DISTINCT bytes)::integer AS distinct FROM palisade.flow WHERE tenant_id = $1', [tenantId]);
  return rows[0] ?? { flows: 0, distinct: 0 };
}

function batchOf(tenantId: TenantId, bootId: string, seq: number, rows: number, first: number): SentFlowBatch {
  const nowUs = Date.now() * 1000;
  return sent({ tenantId, clusterId: bootId, nodeId: bootId }, bootId, seq, Array.from({ length: rows }, (_, row) => sampleFlow(nowUs, { bytes: first + row })));
}

describe('a tenant that sends twice what there is room for', () => {
  it('is held back without losing or doubling a flow, within the bounds of the queue, and no other tenant is ever held back', async () => {
    const ingest = new IngestFlowBatch({ sink: new PostgresFlowSink(pool), options: LIMITS });
    const loud = parseTenantId(randomUUID());
    const quiet = parseTenantId(randomUUID());
    let deferred = 0;
    let most = 0;
    let flooding = true;
    // Eight agents that heed no credit want 8,000 rows to wait where 4,000 may.
    const agents = Array.from({ length: 8 }, async (_, agent) => {
      const bootId = randomUUID();
      for (let seq = 1; seq <= 4; seq++) {
        const batch = batchOf(loud, bootId, seq, ROWS, agent * 100_000 + seq * 10_000);
        for (let kind = ''; kind !== 'stored'; ) {
          const { outcome } = await ingest.execute(batch);
          most = Math.max(most, ingest.figures().queuedRows);
          kind = outcome.kind;
          if (outcome.kind === 'deferred') {
            deferred++;
            await delay(outcome.retryAfterMs);
          } else expect(outcome.kind).toBe('stored');
        }
      }
    });
    const other = (async (): Promise<number> => {
      const bootId = randomUUID();
      let seq = 0;
      while (flooding) expect((await ingest.execute(batchOf(quiet, bootId, ++seq, 10, seq * 10))).outcome).toEqual({ kind: 'stored', rows: 10 });
      return seq;
    })();
    await Promise.all(agents);
    flooding = false;
    const quietBatches = await other;
    expect(deferred).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(LIMITS.queueRows);
    expect(ingest.figures()).toMatchObject({ deferred, queuedRows: 0, storedRows: 8 * 4 * ROWS + quietBatches * 10 });
    expect(await storedFlows(loud)).toEqual({ flows: 8 * 4 * ROWS, distinct: 8 * 4 * ROWS });
    expect(await storedFlows(quiet)).toEqual({ flows: quietBatches * 10, distinct: quietBatches * 10 });
  }, 60_000);
});
