import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { openClickHouse } from './clickhouse-client.ts';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { applySchema } from './schema/apply-schema.ts';

const layout = { database: `test_${randomBytes(4).toString('hex')}` };
const program = join(import.meta.dirname, '../testing/spooling-gateway.ts');
const startUs = Math.floor(Date.now() / 1000 - 600) * 1_000_000;
const ROWS = 20;
const BATCHES = 60;
const KILLS = 5;

describe('a gateway that is killed', () => {
  let database: TestDatabase;
  let session: ClickHouseSession;
  let admin: pg.Pool;
  const folder = mkdtempSync(join(tmpdir(), 'palisade-spool-'));

  beforeAll(async () => {
    database = await createTestDatabase();
    admin = new pg.Pool({ connectionString: database.adminUrl, max: 1 });
    session = await openClickHouse(inject('clickhouseUrl'));
    await applySchema(session, layout);
  });

  afterAll(async () => {
    await session.close();
    await admin.end();
    await database.drop();
    rmSync(folder, { recursive: true, force: true });
  });

  it('stores what it acknowledged, once, and nothing that it did not keep', async () => {
    const tenant = randomUUID();
    const [node, boot] = [randomUUID(), randomUUID()];
    let acknowledged = 0;
    /** Sends what is not acknowledged, as an agent does; SIGKILL after some acknowledgements. */
    const run = async (killAfter: number | undefined): Promise<number | null> => {
      const words = ['--conditions=palisade-src', program, database.ingestUrl, inject('clickhouseUrl'), layout.database, folder, tenant, node, boot, String(acknowledged + 1), String(BATCHES - acknowledged), String(startUs)];
      const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
      let left = killAfter;
      let text = '';
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        const lines = text.split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) {
          const match = /^(?:stored|duplicate) (\d+)$/.exec(line);
          if (match === null) continue;
          acknowledged = Number(match[1]);
          if (left !== undefined && --left === 0) child.kill('SIGKILL');
        }
      });
      await once(child, 'close');
      return child.exitCode;
    };

    for (let kill = 0; kill < KILLS; kill++) await run(randomInt(1, 12));
    expect(await run(undefined)).toBe(0);
    expect(acknowledged).toBe(BATCHES);

    const rows = await session.rows<{ bytes: string; n: string; ids: string }>(
      `SELECT bytes, count() AS n, uniqExact(batch_id, row) AS ids FROM ${layout.database}.flow WHERE tenant_id = {tenant:UUID} GROUP BY bytes ORDER BY bytes`, { tenant },
    );
    expect(rows.map(({ bytes, n, ids }) => [Number(bytes), Number(n), Number(ids)])).toEqual(Array.from({ length: BATCHES }, (_, index) => [index + 1, ROWS, ROWS]));
    const [sums] = await session.rows<{ flows: string; bytes: string }>(`SELECT sum(flows) AS flows, sum(bytes) AS bytes FROM ${layout.database}.flow_edge_minute WHERE tenant_id = {tenant:UUID}`, { tenant });
    expect([Number(sums?.flows), Number(sums?.bytes)]).toEqual([BATCHES * ROWS, (ROWS * BATCHES * (BATCHES + 1)) / 2]);
    const [landed] = await session.rows<{ n: string }>(`SELECT count() AS n FROM ${layout.database}.flow_batch WHERE tenant_id = {tenant:UUID}`, { tenant });
    const ledger = await admin.query<{ n: string }>('SELECT count(*) AS n FROM palisade.flow_batch WHERE tenant_id = $1', [tenant]);
    expect([Number(landed?.n), Number(ledger.rows[0]?.n)]).toEqual([BATCHES, BATCHES]);
  }, 240_000);
});
