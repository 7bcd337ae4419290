import { generateKeyPairSync } from 'node:crypto';
import { GENESIS_HASH, parseVerifierKey, verifierKey, verifyExport, type AuditEvent } from '@palisade/audit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiUnderTest, type TestTenant } from '../testing/api-under-test.ts';

let api: ApiUnderTest;
let tenant: TestTenant;

beforeAll(async () => {
  api = await startApi();
  tenant = await api.tenant('acme');
  for (let i = 0; i < 12; i++) await api.request.post('/v1/clusters').set('authorization', tenant.authorization).send({ name: `c-${i}` }).expect(201);
});
afterAll(() => api.close());

const verifier = parseVerifierKey(verifierKey({ name: 'any', privateKey: generateKeyPairSync('ed25519').privateKey }));
const get = (path: string) => api.request.get(path).set('authorization', tenant.authorization);
const seqs = (body: { items: { seq: number }[] }) => body.items.map(({ seq }) => seq);

describe('audit events', () => {
  it('are listed newest first, page by page', async () => {
    const first = await get('/v1/audit/events?limit=5').expect(200);
    expect(seqs(first.body)).toEqual([12, 11, 10, 9, 8]);
    const second = await get(`/v1/audit/events?limit=5&cursor=${first.body.next}`).expect(200);
    expect(seqs(second.body)).toEqual([7, 6, 5, 4, 3]);
  });

  it('are found by action, actor, target, outcome and time', async () => {
    const { body } = await get('/v1/audit/events?limit=1').expect(200);
    const [newest] = body.items;
    for (const filter of [`targetId=${newest.target.id}`, `targetKind=cluster&actorId=${newest.actor.id}&limit=1`, `from=${newest.time}&limit=1`, 'action=cluster.created&outcome=success&limit=1']) {
      expect(seqs((await get(`/v1/audit/events?${filter}`).expect(200)).body), filter).toEqual([12]);
    }
    expect(seqs((await get(`/v1/audit/events?to=2000-01-01T00:00:00Z`).expect(200)).body)).toEqual([]);
    await get('/v1/audit/events?from=yesterday').expect(400);
  });

  it('cannot be paged on with other filters', async () => {
    const { body } = await get('/v1/audit/events?limit=5').expect(200);
    await get(`/v1/audit/events?limit=5&outcome=denied&cursor=${body.next}`).expect(400);
  });

  const linesOf = async (path: string) => {
    const response = await get(path).buffer(true).expect(200);
    return String(response.text ?? response.body).trimEnd().split('\n');
  };

  it('are exported oldest first as canonical lines with their proof, the export itself being recorded', async () => {
    const lines = await linesOf('/v1/audit/events/export');
    const events = lines.slice(1, -1).map((line) => JSON.parse(line) as AuditEvent);
    expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(events[0]?.previousHash).toBe(GENESIS_HASH);
    expect(await verifyExport(lines, verifier)).toMatchObject({ ok: true, events: 12, size: 12 });
    const { body } = await get('/v1/audit/events?action=audit.exported').expect(200);
    expect(body.items[0]).toMatchObject({ seq: 13, details: { fromSeq: 1, toSeq: 12 } });
  });

  it('are exported from where another export ended, and by filter, both provable', async () => {
    const rest = await linesOf('/v1/audit/events/export?afterSeq=11');
    expect(await verifyExport(rest, verifier)).toMatchObject({ ok: true, events: 2, size: 13 });
    const filtered = await linesOf('/v1/audit/events/export?action=audit.exported');
    expect(await verifyExport(filtered, verifier)).toMatchObject({ ok: true, events: 2, redacted: 12 });
    expect(filtered.join()).not.toContain('cluster.created');
    await get('/v1/audit/events/export?afterSeq=1000').expect(400);
  });

  it('are exported as CSV and OCSF too', async () => {
    const csv = await linesOf('/v1/audit/events/export?format=csv&action=cluster.created');
    expect(csv[0]).toContain('seq,time,action');
    expect(csv.length).toBe(13);
    const ocsf = await linesOf('/v1/audit/events/export?format=ocsf&action=cluster.created');
    expect(JSON.parse(ocsf[0]!)).toMatchObject({ class_uid: 6003, activity_id: 1 });
  });

  it('are for owners, security admins and auditors only', async () => {
    for (const [role, status] of [['auditor', 200], ['security-admin', 200], ['viewer', 403], ['app-team', 403]] as const) {
      const authorization = await api.token(tenant.tenantId, [role]);
      await api.request.get('/v1/audit/events').set('authorization', authorization).expect(status);
    }
  });
});
