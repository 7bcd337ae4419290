import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../tools/postgres/test-database.ts';
import { openDatabase } from './data-source.ts';
import { openPool } from './pool.ts';
import { endingProxy, type EndingProxy } from './testing/ending-proxy.ts';

let database: TestDatabase;
let admin: pg.Pool;
let proxy: EndingProxy;

beforeAll(async () => {
  database = await createTestDatabase();
  admin = new pg.Pool({ connectionString: database.adminUrl, max: 1 });
  proxy = await endingProxy(database.gatewayUrl, async () => {
    await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'palisade_gateway' AND datname = current_database()`);
  });
});

afterAll(async () => {
  await proxy.close();
  await admin.end();
  await database.drop();
});

describe('a connection that the server ends in the moment it is ready', () => {
  it('fails the statement of whoever asked for it, and leaves process and pool alive', async () => {
    const pool = openPool({ url: proxy.url, applicationName: 'pool-test', size: 2 });
    const client = await pool.connect();
    await expect(client.query('SELECT 1')).rejects.toThrow();
    client.release(true);
    await expect(pool.query('SELECT 1')).rejects.toThrow();
    await pool.end();
  });

  it('fails opening the database, which may then be tried again', async () => {
    await expect(openDatabase({ url: proxy.url, applicationName: 'pool-test' })).rejects.toThrow();
  });
});
