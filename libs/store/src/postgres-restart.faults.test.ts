import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateCluster } from '@palisade/control';
import { parseTenantId, systemContext } from '@palisade/tenancy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureDatabase, ensureOwner, LOGIN_ROLES, OWNER_ROLE, urlFor, withClient, type LoginRole } from '../../../tools/postgres/database.ts';
import { startPostgres, type RunningPostgres } from '../../../tools/postgres/embedded-postgres.ts';
import { migrate } from '../../../tools/postgres/migrate.ts';
import { openDatabase } from './data-source.ts';
import { clusterRepositories } from './platform-repositories.ts';
import { createUnitOfWork } from './transactions.ts';

let dir: string;
let postgres: RunningPostgres;
const start = () => startPostgres({ dataDir: join(dir, 'data'), logFile: join(dir, 'postgres.log') });
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'palisade-pg-restart-'));
  postgres = await start();
}, 120_000);
afterAll(async () => {
  await postgres.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

describe('fault 16: PostgreSQL crashes in the middle of transactions', () => {
  it('rolls back what had not committed, drops broken connections, and loses no audit event of what had', async () => {
    const passwords = Object.fromEntries(['owner', ...LOGIN_ROLES].map((role) => [role, `test-${role}`])) as Record<LoginRole | 'owner', string>;
    await ensureOwner(postgres.adminUrl, passwords.owner);
    await ensureDatabase(postgres.adminUrl, 'restart');
    await migrate(urlFor(postgres.adminUrl, OWNER_ROLE, passwords.owner, 'restart'), passwords, 'source');
    const admin = (url: string): string => urlFor(url, 'postgres', new URL(url).password, 'restart');
    const tenantId = await withClient(admin(postgres.adminUrl), async (client) => parseTenantId((await client.query<{ tenant_id: string }>("INSERT INTO palisade.tenants (name) VALUES ('t') RETURNING tenant_id")).rows[0]!.tenant_id));
    const open = () => openDatabase({ url: urlFor(postgres.adminUrl, 'palisade_api', passwords.api, 'restart'), applicationName: 'restart-test', poolSize: 4 });
    const source = await open();
    const create = new CreateCluster({ unitOfWork: createUnitOfWork(source, clusterRepositories) });
    const acknowledged: string[] = [];
    let failures = 0;
    let stop = false;
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let index = 0; !stop; index += 1) {
        try {
          acknowledged.push((await create.execute(systemContext(tenantId, 'test'), { name: `c-${writer}-${index}` })).id);
        } catch {
          failures += 1;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
    });
    while (acknowledged.length < 20) await new Promise((resolve) => setTimeout(resolve, 5));
    await postgres.kill();
    while (failures === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    stop = true;
    await Promise.all(writers);
    await source.destroy();

    postgres = await start();
    const again = await open();
    await new CreateCluster({ unitOfWork: createUnitOfWork(again, clusterRepositories) }).execute(systemContext(tenantId, 'test'), { name: 'after' });
    await again.destroy();
    const { clusters, audited } = await withClient(admin(postgres.adminUrl), async (client) => ({
      clusters: (await client.query<{ id: string }>('SELECT id FROM palisade.clusters')).rows.map((row) => row.id),
      audited: (await client.query<{ target_id: string }>("SELECT target_id FROM palisade.audit_event WHERE action = 'cluster.created' ORDER BY seq")).rows.map((row) => row.target_id),
    }));
    expect(clusters).toEqual(expect.arrayContaining(acknowledged));
    // Every cluster has its event and every event its cluster: they commit together or not at all.
    expect([...audited].sort()).toEqual([...clusters].sort());
  }, 120_000);
});
