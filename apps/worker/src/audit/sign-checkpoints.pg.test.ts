import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportLines, openCheckpoint, parseVerifierKey, verifyExport } from '@palisade/audit';
import { ReadAudit, WriteCheckpoint } from '@palisade/control';
import { auditRepositories, createUnitOfWork, openDatabase } from '@palisade/store';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import type { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withClient } from '../../../../tools/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { openAuditSigner } from './audit-signer.ts';
import { checkpointSigning } from './sign-checkpoints.ts';

let database: TestDatabase;
let source: DataSource;
let keys: string;
let context: TenantContext;

beforeAll(async () => {
  database = await createTestDatabase();
  source = await openDatabase({ url: database.workerUrl, applicationName: 'test' });
  keys = mkdtempSync(join(tmpdir(), 'palisade-audit-'));
  const { rows } = await withClient(database.adminUrl, (client) => client.query<{ tenant_id: string }>("INSERT INTO palisade.tenants (name) VALUES ('a') RETURNING tenant_id"));
  context = systemContext(parseTenantId(rows[0]?.tenant_id ?? ''), 'test');
});
afterAll(async () => {
  await source.destroy();
  await database.drop();
  rmSync(keys, { recursive: true });
});

const unitOfWork = () => createUnitOfWork(source, auditRepositories);
const append = (count: number) =>
  unitOfWork().run(context, async ({ audit }) => {
    for (let i = 0; i < count; i++) await audit.append({ action: 'test.done', target: { kind: 'test', id: `${i}` }, summary: `Test ${i} — ünïcode` , details: { n: i, ratio: 0.1 } });
  });
const verifier = () => parseVerifierKey(readFileSync(join(keys, 'audit.pub'), 'utf8'));

describe('the audit signer', () => {
  it('makes its key once, readable by its owner only', () => {
    openAuditSigner(keys);
    const key = readFileSync(join(keys, 'audit.key'), 'utf8');
    openAuditSigner(keys);
    expect(readFileSync(join(keys, 'audit.key'), 'utf8')).toBe(key);
    expect(statSync(join(keys, 'audit.key')).mode & 0o777).toBe(0o600);
  });
});

describe('checkpoints', () => {
  it('are signed for every tenant, over all events so far, and verify an export from the database', async () => {
    await append(7);
    await checkpointSigning(source, keys, () => Promise.resolve([context.tenantId]))();
    const read = new ReadAudit({ unitOfWork: unitOfWork() });
    const [checkpoint] = await read.checkpoints(context, 10);
    expect(openCheckpoint(checkpoint?.note ?? '', verifier())).toMatchObject({ tenantId: context.tenantId, size: 7 });
    await append(5);
    for (const afterSeq of [0, 3, 7]) {
      const begun = await read.beginExport(context, afterSeq);
      const lines: string[] = [];
      for await (const line of exportLines(context.tenantId, read.exported(context, begun), begun)) lines.push(line.trimEnd());
      expect(await verifyExport(lines, verifier())).toMatchObject({ ok: true, size: begun.toSeq, signedUpTo: 7 });
    }
  });

  it('are signed at most once a minute while events come, and hourly when none come', async () => {
    let now = Date.now();
    const write = new WriteCheckpoint({ unitOfWork: unitOfWork(), signer: openAuditSigner(keys), now: () => new Date(now) });
    expect(await write.execute(context)).toBe(false);
    now += 61_000;
    expect(await write.execute(context)).toBe(true);
    // The database, not this clock, dates the rows: both are compared with the newest row of now.
    now = Date.now() + 61_000;
    expect(await write.execute(context)).toBe(false);
    now += 60 * 60_000;
    expect(await write.execute(context)).toBe(true);
  });

  it('reveal a tail that was removed from the database itself', async () => {
    await withClient(database.adminUrl, async (client) => {
      await client.query('DELETE FROM palisade.audit_event WHERE tenant_id = $1 AND seq > 10', [context.tenantId]);
      await client.query('UPDATE palisade.audit_head SET seq = 10, hash = (SELECT hash FROM palisade.audit_event WHERE seq = 10) WHERE tenant_id = $1', [context.tenantId]);
    });
    const read = new ReadAudit({ unitOfWork: unitOfWork() });
    const kept = await read.checkpoints(context, 1);
    const begun = { ...(await read.beginExport(context, 0)), checkpoints: kept.map(({ note }) => note) };
    const lines: string[] = [];
    for await (const line of exportLines(context.tenantId, read.exported(context, begun), begun)) lines.push(line.trimEnd());
    const result = await verifyExport(lines, verifier());
    expect(result.faults.map(({ kind }) => kind)).toEqual(['truncated']);
  });
});
