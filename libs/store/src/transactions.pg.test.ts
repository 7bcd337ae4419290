import { CreateCluster, ReadClusters, type ClusterRepositories } from '@palisade/control';
import { systemContext, parseTenantId, type TenantContext } from '@palisade/tenancy';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withClient } from '../../../tools/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../../../tools/postgres/test-database.ts';
import { postgresAuditLog } from './audit/audit-log.ts';
import { postgresClusters } from './clusters/cluster-repository.ts';
import { openDatabase } from './data-source.ts';
import { createUnitOfWork, inSystemTransaction, inTenantTransaction, systemStatement } from './transactions.ts';
import { postgresWakeUp } from './wake-up.ts';

let database: TestDatabase;
let source: DataSource;
let tenantA: TenantContext;
let tenantB: TenantContext;

beforeAll(async () => {
  database = await createTestDatabase();
  source = await openDatabase({ url: database.apiUrl, applicationName: 'test', poolSize: 4 });
  [tenantA, tenantB] = await withClient(database.adminUrl, async (client) => {
    const { rows } = await client.query<{ tenant_id: string }>("INSERT INTO palisade.tenants (name) VALUES ('a'), ('b') RETURNING tenant_id");
    return rows.map((row) => systemContext(parseTenantId(row.tenant_id), 'test')) as [TenantContext, TenantContext];
  });
});

afterAll(async () => {
  await source.destroy();
  await database.drop();
});

const unitOfWork = () =>
  createUnitOfWork<ClusterRepositories>(source, (session) => ({
    clusters: postgresClusters(session),
    audit: postgresAuditLog(session),
    wakeUp: postgresWakeUp(session),
  }));

describe('a tenant transaction', () => {
  it('sees its own rows only, with 50 of two tenants at once', async () => {
    const create = new CreateCluster({ unitOfWork: unitOfWork() });
    const jobs = Array.from({ length: 50 }, (_, i) => create.execute(i % 2 === 0 ? tenantA : tenantB, { name: `cluster-${i}` }));
    await Promise.all(jobs);
    const read = new ReadClusters({ unitOfWork: unitOfWork() });
    for (const [tenant, parity] of [[tenantA, 0], [tenantB, 1]] as const) {
      const { items } = await read.list(tenant, { limit: 500 });
      expect(items.map(({ name }) => Number(name.split('-')[1]) % 2)).toEqual(Array.from({ length: 25 }, () => parity));
    }
  });

  it('refuses to write a row of another tenant', async () => {
    const write = inTenantTransaction(source, tenantA, (session) =>
      session.execute("INSERT INTO palisade.clusters (tenant_id, name, settings) VALUES ($1, 'foreign', '{}')", [tenantB.tenantId]),
    );
    await expect(write).rejects.toThrow(/row-level security/);
  });

  it('leaves neither change nor audit event when it fails', async () => {
    const failing = unitOfWork().run(tenantA, async ({ clusters, audit }) => {
      await clusters.insert({ name: 'half-done', settings: { hostFirewall: false, requireApproval: false } });
      await audit.append({ action: 'cluster.created', target: { kind: 'cluster', id: 'x' }, summary: 'half-done' });
      throw new Error('stop');
    });
    await expect(failing).rejects.toThrow('stop');
    const found = await withClient(database.adminUrl, (client) =>
      client.query("SELECT 1 FROM palisade.clusters WHERE name = 'half-done' UNION ALL SELECT 1 FROM palisade.audit_event WHERE summary = 'half-done'"),
    );
    expect(found.rowCount).toBe(0);
  });

  it('numbers audit events without gaps, each chained to the one before, under concurrency', async () => {
    const { rows } = await withClient(database.adminUrl, (client) =>
      client.query<{ whole: boolean }>(`
        SELECT bool_and(seq = n AND previous_hash = COALESCE(before, decode(repeat('00', 32), 'hex'))) AS whole
        FROM (SELECT tenant_id, seq, previous_hash, row_number() OVER w AS n, lag(hash) OVER w AS before
              FROM palisade.audit_event WINDOW w AS (PARTITION BY tenant_id ORDER BY seq)) e`),
    );
    expect(rows[0]?.whole).toBe(true);
  });

  it('cannot change or remove an audit event', async () => {
    for (const statement of ['UPDATE palisade.audit_event SET summary = $1', 'DELETE FROM palisade.audit_event WHERE summary <> $1']) {
      await expect(inTenantTransaction(source, tenantA, (session) => session.execute(statement, ['gone']))).rejects.toThrow(/permission denied/);
    }
  });

  it('runs again after a deadlock', async () => {
    const [one, two] = await inTenantTransaction(source, tenantA, (session) =>
      session.query<{ id: string }>('SELECT id FROM palisade.clusters WHERE tenant_id = $1 ORDER BY id LIMIT 2', [tenantA.tenantId]),
    );
    let met = 0;
    const bothHoldOne = Promise.withResolvers<void>();
    const lockInOrder = (first: string, second: string) =>
      inTenantTransaction(source, tenantA, async (session) => {
        const lock = 'SELECT 1 AS locked FROM palisade.clusters WHERE tenant_id = $1 AND id = $2 FOR UPDATE';
        await session.query(lock, [tenantA.tenantId, first]);
        if (++met >= 2) bothHoldOne.resolve();
        await bothHoldOne.promise;
        await session.query(lock, [tenantA.tenantId, second]);
        return 'done';
      });
    const results = await Promise.all([lockInOrder(one!.id, two!.id), lockInOrder(two!.id, one!.id)]);
    expect(results).toEqual(['done', 'done']);
    expect(met).toBe(3);
  });

  it('reports a connection that was ended as unavailable, and the next transaction gets a sound one', async () => {
    const killed = inTenantTransaction(source, tenantA, async (session) => {
      const [row] = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      await withClient(database.adminUrl, (client) => client.query('SELECT pg_terminate_backend($1)', [row?.pid]));
      await session.query('SELECT 1 AS one');
    });
    await expect(killed).rejects.toMatchObject({ code: 'service.unavailable' });
    for (let i = 0; i < 8; i++) {
      const rows = await inTenantTransaction(source, tenantA, (session) => session.query<{ one: number }>('SELECT 1 AS one'));
      expect(rows).toEqual([{ one: 1 }]);
    }
  });
});

describe('a transaction without a tenant', () => {
  it('sees no row of any tenant, also on a connection that served one before', async () => {
    for (let i = 0; i < 8; i++) {
      const rows = await inSystemTransaction(source, (session) => session.query('SELECT id FROM palisade.clusters'));
      expect(rows).toEqual([]);
    }
  });

  it('sees none in a single statement either, and says when the connection broke', async () => {
    for (let i = 0; i < 8; i++) expect(await systemStatement(source, 'SELECT id FROM palisade.clusters', [])).toEqual([]);
    await expect(systemStatement(source, 'SELECT pg_terminate_backend(pg_backend_pid())', [])).rejects.toMatchObject({ code: 'service.unavailable' });
    expect(await systemStatement(source, 'SELECT 1 AS one', [])).toEqual([{ one: 1 }]);
  });
});
