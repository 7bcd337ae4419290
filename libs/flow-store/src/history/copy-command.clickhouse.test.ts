/** The command as it is documented, in a process of its own, on what `./dev build` made. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { parseTenantId } from '@palisade/tenancy';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { openClickHouse } from '../clickhouse/clickhouse-client.ts';
import type { ClickHouseSession } from '../clickhouse/clickhouse-session.ts';
import { PostgresFlowSink } from '../postgres/postgres-flow-sink.ts';
import { droppedFlow, sampleFlow, sent } from '../testing/sample-flows.ts';

const checkout = resolve(import.meta.dirname, '../../../..');
const clickHouseDatabase = `test_${randomBytes(4).toString('hex')}`;
const startUs = Math.floor(Date.now() / 1000 - 600) * 1_000_000;
const SIZES = { acme: 450, globex: 3 };

describe('copy-flows', () => {
  let database: TestDatabase;
  let session: ClickHouseSession;
  const tenants = { acme: parseTenantId(randomUUID()), globex: parseTenantId(randomUUID()) };

  beforeAll(async () => {
    database = await createTestDatabase();
    const [ingest, admin] = [database.ingestUrl, database.adminUrl].map((connectionString) => new pg.Pool({ connectionString, max: 2 }));
    if (ingest === undefined || admin === undefined) throw new Error('Two pools were to be there.');
    const sink = new PostgresFlowSink(ingest);
    for (const [name, tenantId] of Object.entries(tenants)) {
      await admin.query('INSERT INTO palisade.tenants (tenant_id, name) VALUES ($1, $2)', [tenantId, name]);
      const sender = { tenantId, clusterId: randomUUID(), nodeId: randomUUID() };
      const bootId = randomUUID();
      const flows = (seq: number) => [sampleFlow(startUs + seq, { bytes: seq }), droppedFlow(startUs + seq)];
      await sink.append(Array.from({ length: SIZES[name as keyof typeof SIZES] }, (_, index) => sent(sender, bootId, index + 1, flows(index + 1))));
    }
    await Promise.all([ingest.end(), admin.end()]);
    session = await openClickHouse(inject('clickhouseUrl'));
  });

  afterAll(async () => {
    await session.close();
    await database.drop();
  });

  const installed = [process.execPath, resolve(checkout, 'apps/worker/dist/copy-flows.js')];
  const start = ([program = '', ...words]: readonly string[], settings: Record<string, string> = {}): ChildProcess =>
    spawn(program, words, {
      cwd: checkout, stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, NODE_OPTIONS: '', DATABASE_URL: database.workerUrl, FLOW_STORE: 'clickhouse', CLICKHOUSE_URL: inject('clickhouseUrl'), CLICKHOUSE_DATABASE: clickHouseDatabase, ...settings },
    });
  const run = async (words: readonly string[], settings?: Record<string, string>): Promise<{ code: number | null; said: string[] }> => {
    const child = start(words, settings);
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [code] = await once(child, 'close') as [number | null];
    return { code, said: said.trim().split('\n') };
  };
  const there = async (tenant: string) =>
    (await session.rows<{ flows: string; ids: string; bytes: string }>(
      `SELECT count() AS flows, uniqExact(batch_id, row) AS ids, sum(bytes) AS bytes FROM ${clickHouseDatabase}.flow WHERE tenant_id = {tenant:UUID}`, { tenant },
    ))[0];
  const journaled = async (): Promise<number> => {
    const rows = await session.rows<{ n: string }>(`SELECT count() AS n FROM ${clickHouseDatabase}.flow_copy`, {}).catch(() => []);
    return Number(rows[0]?.n ?? 0);
  };

  it('goes on after kills where it was, of every tenant, and stores each flow once', async () => {
    for (let kill = 1; kill <= 3; kill++) {
      const before = await journaled();
      const child = start(installed);
      const ended = once(child, 'close');
      while (child.exitCode === null && (await journaled()) === before);
      child.kill('SIGKILL');
      await ended;
    }
    const { code, said } = await run(installed);
    expect(code).toBe(0);
    expect(said).toHaveLength(2);
    expect(said.every((sentence) => sentence.includes('ClickHouse has the same'))).toBe(true);
    const sumTo = (last: number): number => (last * (last + 1)) / 2;
    const dropBytes = Number(droppedFlow(startUs).bytes);
    for (const [name, tenant] of Object.entries(tenants)) {
      const size = SIZES[name as keyof typeof SIZES];
      expect(await there(tenant)).toMatchObject({ flows: String(size * 2), ids: String(size * 2), bytes: String(sumTo(size) + size * dropBytes) });
    }
  });

  it('copies nothing twice when it is run again as ./dev copy-flows, for a tenant that is named', async () => {
    const { code, said } = await run([resolve(checkout, 'dev'), 'copy-flows', tenants.globex]);
    expect({ code, said }).toEqual({ code: 0, said: [expect.stringContaining(`Tenant ${tenants.globex}: 0 batches with 0 flows copied; ClickHouse has the same 6 flows`)] });
  });

  it('says what is missing while flows are still kept in PostgreSQL, and copies nothing', async () => {
    expect(await run(installed, { FLOW_STORE: 'postgres' })).toMatchObject({ code: 2 });
  });
});
