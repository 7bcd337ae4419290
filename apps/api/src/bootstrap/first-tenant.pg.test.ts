import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuthenticateToken, mintToken } from '@palisade/control';
import { openDatabase, postgresTokenDirectory } from '@palisade/store';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { ensureFirstTenant } from './first-tenant.ts';

let database: TestDatabase;
let owner: DataSource;
let api: DataSource;
let folder: string;

beforeAll(async () => {
  database = await createTestDatabase();
  owner = await openDatabase({ url: database.ownerUrl, applicationName: 'test', poolSize: 1 });
  api = await openDatabase({ url: database.apiUrl, applicationName: 'test', poolSize: 1 });
  folder = mkdtempSync(join(tmpdir(), 'palisade-bootstrap-'));
});
afterAll(async () => {
  await owner.destroy();
  await api.destroy();
  await database.drop();
  rmSync(folder, { recursive: true });
});

describe('ensureFirstTenant', () => {
  it('makes one tenant and one working owner token, once, and a new token when the file is gone or dead', async () => {
    const tokenFile = join(folder, 'deep', 'token');
    const run = () => ensureFirstTenant(owner, { tenantName: 'acme', tokenFile });
    const authenticate = () => new AuthenticateToken({ directory: postgresTokenDirectory(api), now: () => new Date() }).execute(`Bearer ${readFileSync(tokenFile, 'utf8').trim()}`);

    expect(await run()).toContain('Created tenant');
    expect(statSync(tokenFile).mode & 0o777).toBe(0o600);
    const first = await authenticate();
    expect(first.actor.roles).toEqual(['owner']);
    expect(await run()).toContain('nothing to do');
    expect((await authenticate()).actor.id).toBe(first.actor.id);

    rmSync(tokenFile);
    expect(await run()).toContain('Found tenant');
    const second = await authenticate();
    expect(second.tenantId).toBe(first.tenantId);

    // What a run leaves that died between the file and the database.
    writeFileSync(tokenFile, mintToken().text);
    await expect(authenticate()).rejects.toMatchObject({ code: 'auth.unauthenticated' });
    expect(await run()).toContain('Found tenant');
    expect((await authenticate()).tenantId).toBe(first.tenantId);
  });
});
