import { auditEventHash, GENESIS_HASH, type AuditEvent } from '@palisade/audit';
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

  it('are exported oldest first as canonical lines whose hashes chain, the export itself being recorded', async () => {
    const response = await get('/v1/audit/events/export').buffer(true).expect(200);
    expect(response.headers['content-type']).toBe('application/x-ndjson');
    const events = String(response.text ?? response.body).trimEnd().split('\n').map((line) => JSON.parse(line) as AuditEvent);
    expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    let previous = GENESIS_HASH;
    for (const event of events) {
      expect(event.previousHash).toBe(previous);
      previous = auditEventHash(event);
    }
    const { body } = await get('/v1/audit/events?action=audit.exported').expect(200);
    expect(body.items[0]).toMatchObject({ seq: 13, details: { fromSeq: 1, toSeq: 12 } });
    const rest = await get('/v1/audit/events/export?afterSeq=11').buffer(true).expect(200);
    expect(String(rest.text ?? rest.body).trimEnd().split('\n').map((line) => (JSON.parse(line) as AuditEvent).seq)).toEqual([12, 13]);
  });

  it('are for owners, security admins and auditors only', async () => {
    for (const [role, status] of [['auditor', 200], ['security-admin', 200], ['viewer', 403], ['app-team', 403]] as const) {
      const authorization = await api.token(tenant.tenantId, [role]);
      await api.request.get('/v1/audit/events').set('authorization', authorization).expect(status);
    }
  });
});
