import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, describe, expect, it } from 'vitest';
import { withClient } from './database.ts';
import { startPostgres } from './embedded-postgres.ts';
import { createTestDatabase } from './test-database.ts';

describe('the test database', () => {
  it('belongs to an owner that cannot see past row-level security', async () => {
    const database = await createTestDatabase();
    try {
      const { rows } = await withClient(database.ownerUrl, (client) =>
        client.query('SELECT current_database() AS name, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user'),
      );
      expect(rows).toEqual([{ name: database.name, rolsuper: false, rolbypassrls: false }]);
    } finally {
      await database.drop();
    }
  });

  it('gives two test files databases of their own', async () => {
    const [first, second] = await Promise.all([createTestDatabase(), createTestDatabase()]);
    await withClient(first.ownerUrl, (client) => client.query('CREATE SCHEMA only_here'));
    const { rowCount } = await withClient(second.ownerUrl, (client) =>
      client.query("SELECT 1 FROM pg_namespace WHERE nspname = 'only_here'"),
    );
    expect(rowCount).toBe(0);
    await Promise.all([first.drop(), second.drop()]);
  });
});

describe('the embedded PostgreSQL', () => {
  const folder = mkdtempSync(join(tmpdir(), 'palisade-postgres-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const options = { dataDir: join(folder, 'data'), logFile: join(folder, 'postgres.log'), durable: false };

  it('keeps its data over a crash, and says so when started twice', async () => {
    const first = await startPostgres(options);
    await expect(startPostgres(options)).rejects.toThrow(/already runs/);
    await withClient(first.adminUrl, async (client) => {
      await client.query('CREATE TABLE kept (n int)');
      await client.query('CHECKPOINT');
    });
    await first.kill();
    expect(await first.ended).toContain('SIGKILL');

    const second = await startPostgres(options);
    const { rowCount } = await withClient(second.adminUrl, (client) => client.query("SELECT 1 FROM pg_tables WHERE tablename = 'kept'"));
    expect(rowCount).toBe(1);
    await second.stop();
  });

  it('waits for what a crash leaves behind for a moment', async () => {
    const first = await startPostgres(options);
    const client = new pg.Client({ connectionString: first.adminUrl });
    client.on('error', () => undefined);
    await client.connect();
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const pid = rows[0]?.pid ?? 0;
    // A process of the old server that ends later than it: its memory is still held.
    process.kill(pid, 'SIGSTOP');
    process.kill(Number(readFileSync(join(options.dataDir, 'postmaster.pid'), 'utf8').split('\n')[0]), 'SIGKILL');
    await first.ended;
    setTimeout(() => process.kill(pid, 'SIGKILL'), 500);
    const second = await startPostgres(options);
    await second.stop();
    await client.end().catch(() => undefined);
    expect(readFileSync(options.logFile, 'utf8')).toContain('pre-existing shared memory block');
  });
});
