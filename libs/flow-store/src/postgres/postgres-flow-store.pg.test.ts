import { randomUUID } from 'node:crypto';
import { EVERY_FLOW } from '@palisade/flow';
import { parseTenantId, systemContext } from '@palisade/tenancy';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { describeFlowStore } from '../testing/flow-store-conformance.ts';
import { BACKEND, sampleFlow, sent } from '../testing/sample-flows.ts';
import { PostgresFlowEdges } from './postgres-flow-edges.ts';
import { PostgresFlowKeeping } from './postgres-flow-keeping.ts';
import { PostgresFlowReader } from './postgres-flow-reader.ts';
import { PostgresFlowSink } from './postgres-flow-sink.ts';
import { PostgresFlowSources } from './postgres-flow-sources.ts';
import { PostgresFlowStatistics } from './postgres-flow-statistics.ts';

let database: TestDatabase;
let ingest: pg.Pool;
let api: pg.Pool;
let worker: pg.Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  ingest = new pg.Pool({ connectionString: database.ingestUrl, max: 4 });
  api = new pg.Pool({ connectionString: database.apiUrl, max: 4 });
  worker = new pg.Pool({ connectionString: database.workerUrl, max: 2 });
});

afterAll(async () => {
  await ingest.end();
  await api.end();
  await worker.end();
  await database.drop();
});

// Every test has a tenant of its own, so one database serves them all.
describeFlowStore('PostgreSQL', () => 
  Promise.resolve({ sink: new PostgresFlowSink(ingest), reader: new PostgresFlowReader(api), edges: new PostgresFlowEdges(api), keeping: new PostgresFlowKeeping(worker), sources: new PostgresFlowSources(api), statistics: new PostgresFlowStatistics(api) }),
);

describe('flow partitions', () => {
  const inAdmin = async <Row extends pg.QueryResultRow>(sql: string): Promise<Row[]> => {
    const client = new pg.Client({ connectionString: database.adminUrl });
    await client.connect();
    try {
      return (await client.query<Row>(sql)).rows;
    } finally {
      await client.end();
    }
  };

  it('are made ahead once, and removed when they are over', async () => {
    const keeping = new PostgresFlowKeeping(worker);
    const days = async (): Promise<number> => (await inAdmin<{ n: number }>('SELECT count(*)::integer AS n FROM palisade.flow_partition_days()'))[0]?.n ?? 0;
    await keeping.prepare(10);
    const before = await days();
    expect(await keeping.prepare(12)).toBe(2);
    expect(await keeping.prepare(12)).toBe(0);
    expect(await keeping.expire(0)).toBe(1);
    expect(await days()).toBe(before + 1);
    await inAdmin('SELECT palisade.flow_ensure_partitions(current_date - 1, current_date)');
  });

  it('hide their leaves: no row-level security there, and nobody but the ingest role may touch them, and it only inserts', async () => {
    const leaves = await inAdmin<{ relname: string; relrowsecurity: boolean; grants: string[] | null }>(`
      SELECT c.relname, c.relrowsecurity, (SELECT array_agg(DISTINCT g.grantee || ':' || g.privilege_type ORDER BY g.grantee || ':' || g.privilege_type)
        FROM information_schema.role_table_grants g WHERE g.table_schema = 'palisade' AND g.table_name = c.relname AND g.grantee <> 'palisade_owner') AS grants
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'palisade.flow'::regclass`);
    expect(leaves.length).toBeGreaterThan(0);
    for (const leaf of leaves) expect(leaf).toMatchObject({ relrowsecurity: false, grants: ['palisade_ingest:INSERT'] });
  });

  it.each([['api', () => api], ['worker', () => worker], ['ingest', () => ingest]] as const)('are closed to a direct read by the %s role', async (_, pool) => {
    const [leaf] = await inAdmin<{ name: string }>(`SELECT 'palisade.flow_' || to_char(d, 'YYYYMMDD') AS name FROM palisade.flow_partition_days() d LIMIT 1`);
    await expect(pool().query(`SELECT 1 FROM ${leaf?.name}`)).rejects.toMatchObject({ code: '42501' });
  });

  it('cannot be written through the parent, where the tenant would not be checked by the certificate', async () => {
    await expect(ingest.query(`INSERT INTO palisade.flow (tenant_id) VALUES (gen_random_uuid())`)).rejects.toMatchObject({ code: '42501' });
  });
});

describe('more edges than a commit tells apart', () => {
  it('are summed up as other; their flows are counted, and about how many edges they were, once each', async () => {
    const sink = new PostgresFlowSink(ingest);
    const sender = { tenantId: parseTenantId(randomUUID()), clusterId: randomUUID(), nodeId: randomUUID() };
    const nowUs = Date.now() * 1000;
    const ports = (from: number) => Array.from({ length: 6_000 }, (_, index) => sampleFlow(nowUs, { destination: { ...BACKEND, port: from + index } }));
    for (const rows of [2_000, 4_000]) {
      await sink.append([sent(sender, randomUUID(), 1, ports(1)), sent(sender, randomUUID(), 1, ports(6_001))]);
      expect(sink.folded.rows).toBe(rows);
      expect(Math.abs(sink.folded.edges - 2_000)).toBeLessThanOrEqual(100);
    }
    const { edges } = await new PostgresFlowEdges(api).edges(systemContext(sender.tenantId, 'test'), { sinceUs: nowUs - 60_000_000, untilUs: nowUs + 60_000_000, limit: 20_000 });
    expect(edges.filter(({ source }) => source.labels.includes('reserved:other'))).toMatchObject([{ port: 0, packets: 40_000 }]);
  });
});

describe('a cursor that ClickHouse gave', () => {
  const context = systemContext(parseTenantId(randomUUID()), 'test');
  const place = { commit: '0a1b2c3d-5_1b2c3d4e-77!0a1b2c3d-6', batch: '12' };

  it('is refused where PostgreSQL follows or counts', async () => {
    await expect(new PostgresFlowReader(api).tail(context, { selection: EVERY_FLOW }, place, 10)).rejects.toMatchObject({ code: 'cursor.invalid' });
    await expect(new PostgresFlowStatistics(api).counts(context, {}, place, 10)).rejects.toMatchObject({ code: 'cursor.invalid' });
  });

  it.each([{ batch: '18446744073709551615', row: 65_535 }, { batch: '7', row: 40_000 }, { batch: 'x', row: 0 }])('is refused where PostgreSQL lists: %o', async (after) => {
    const query = { selection: EVERY_FLOW, sinceUs: 0, untilUs: Date.now() * 1000, order: 'oldest', limit: 10, after: { lastSeenUs: 1, ...after } } as const;
    await expect(new PostgresFlowReader(api).list(context, query)).rejects.toMatchObject({ code: 'cursor.invalid' });
  });
});
