import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withClient } from '../../../../tools/postgres/database.ts';
import { startApi, type ApiUnderTest, type TestTenant } from '../testing/api-under-test.ts';

let api: ApiUnderTest;
let tenant: TestTenant;

beforeAll(async () => {
  api = await startApi();
  tenant = await api.tenant('acme');
});
afterAll(() => api.close());

const create = (name: string) => api.request.post('/v1/clusters').set('authorization', tenant.authorization).send({ name });

describe('POST /v1/clusters', () => {
  it('creates a cluster, says where it is, and writes an audit event in the same transaction', async () => {
    const response = await create('prod').expect(201);
    expect(response.body).toMatchObject({ name: 'prod', policyRevision: 0, version: 1, settings: { hostFirewall: false, requireApproval: false } });
    expect(response.headers['location']).toBe(`/v1/clusters/${response.body.id}`);
    const events = await api.request.get('/v1/audit/events?action=cluster.created').set('authorization', tenant.authorization).expect(200);
    expect(events.body.items[0]).toMatchObject({ action: 'cluster.created', target: { id: response.body.id, name: 'prod' }, requestId: response.headers['x-request-id'] });
  });

  it.each([
    [{}, '/name'],
    [{ name: 'Not A Label' }, '/name'],
    [{ name: 'a'.repeat(64) }, '/name'],
    [{ name: 'ok', colour: 'red' }, ''],
    [{ name: 'ok', settings: { hostFirewall: 'yes' } }, '/settings/hostFirewall'],
    [[], ''],
  ])('refuses %j with the pointer %j and stores nothing', async (body, pointer) => {
    const response = await api.request.post('/v1/clusters').set('authorization', tenant.authorization).send(body).expect(400);
    expect(response.headers['content-type']).toContain('application/problem+json');
    expect(response.body).toMatchObject({ code: 'request.invalid', status: 400, pointer });
    const list = await api.request.get('/v1/clusters').set('authorization', tenant.authorization);
    expect(list.body.items.map((cluster: { name: string }) => cluster.name)).toEqual(['prod']);
  });

  it('refuses broken JSON, an unknown content type and an oversized body as problems', async () => {
    const post = () => api.request.post('/v1/clusters').set('authorization', tenant.authorization);
    const broken = await post().set('content-type', 'application/json').send('{"name":').expect(400);
    expect(broken.body.code).toBe('request.invalid');
    const xml = await post().set('content-type', 'application/xml').send('<name/>').expect(400);
    expect(xml.body.code).toBe('request.invalid');
    const large = await post().send({ name: 'x'.repeat(300_000) }).expect(413);
    expect(large.body.code).toBe('request.too-large');
  });

  it('refuses a name that is taken', async () => {
    const response = await create('prod').expect(409);
    expect(response.body).toMatchObject({ code: 'resource.conflict', pointer: '/name' });
  });
});

describe('a POST with an Idempotency-Key', () => {
  const post = (key: string, body: object) => api.request.post('/v1/clusters').set('authorization', tenant.authorization).set('idempotency-key', key).send(body);

  it('is carried out once and answered the same again', async () => {
    const first = await post('k-1', { name: 'once' }).expect(201);
    const second = await post('k-1', { name: 'once' }).expect(201);
    expect(second.body).toEqual(first.body);
    expect(second.headers['idempotency-replayed']).toBe('true');
  });

  it('is refused with another body', async () => {
    const response = await post('k-1', { name: 'other' }).expect(422);
    expect(response.body.code).toBe('idempotency.mismatch');
  });

  it('creates one cluster when sent ten times at once', async () => {
    const responses = await Promise.all(Array.from({ length: 10 }, () => post('k-2', { name: 'raced' })));
    const created = responses.filter(({ status }) => status === 201);
    expect(created.length).toBeGreaterThan(0);
    expect(new Set(created.map(({ body }) => body.id)).size).toBe(1);
    expect(responses.filter(({ status }) => status !== 201).every(({ status, body }) => status === 409 && body.code === 'idempotency.in-flight')).toBe(true);
  });

  it('is not carried out again when the process died between the change and the answer', async () => {
    await post('k-died', { name: 'died' }).expect(201);
    // What a process leaves that was killed right after the commit of the change, once its lock has run out.
    await withClient(api.database.adminUrl, (client) =>
      client.query("UPDATE palisade.idempotency_keys SET status = NULL, response = NULL, locked_until = now() - interval '1 second' WHERE applied_at = (SELECT max(applied_at) FROM palisade.idempotency_keys)"),
    );
    const response = await post('k-died', { name: 'died' }).expect(409);
    expect(response.body.code).toBe('idempotency.answer-lost');
  });

  it('can be repeated after a refusal', async () => {
    await post('k-3', { name: 'prod' }).expect(409);
    await post('k-3', { name: 'after-refusal' }).expect(201);
  });
});

describe('PATCH /v1/clusters/{id}', () => {
  it('changes settings under a matching entity tag and refuses a stale one', async () => {
    const { body } = await create('tagged').expect(201);
    const patch = (tag: string) => api.request.patch(`/v1/clusters/${body.id}`).set('authorization', tenant.authorization).set('if-match', tag).send({ settings: { hostFirewall: true } });
    const changed = await patch('"v1"').expect(200);
    expect(changed.headers['etag']).toBe('"v2"');
    expect(changed.body.settings).toEqual({ hostFirewall: true, requireApproval: false });
    const stale = await patch('"v1"').expect(412);
    expect(stale.body.code).toBe('resource.stale');
    await patch('v1').expect(400);
  });
});

describe('GET /v1/clusters', () => {
  it('pages through everything once, in a stable order', async () => {
    const names: string[] = [];
    let cursor = '';
    do {
      const { body } = await api.request.get(`/v1/clusters?limit=2${cursor}`).set('authorization', tenant.authorization).expect(200);
      expect(body.items.length).toBeLessThanOrEqual(2);
      names.push(...body.items.map((cluster: { name: string }) => cluster.name));
      cursor = body.next === undefined ? '' : `&cursor=${body.next}`;
    } while (cursor !== '');
    expect(names).toEqual(['prod', 'once', 'raced', 'died', 'after-refusal', 'tagged']);
  });

  it('refuses a cursor that was changed, made up, or given to another tenant', async () => {
    const { body } = await api.request.get('/v1/clusters?limit=1').set('authorization', tenant.authorization);
    const other = await api.tenant('other');
    const changed = Buffer.from(body.next, 'base64url');
    changed[changed.length - 2]! ^= 1;
    const attempts = [
      [changed.toString('base64url'), tenant.authorization],
      [Buffer.from('"0"').toString('base64url'), tenant.authorization],
      [body.next, other.authorization],
    ] as const;
    for (const [cursor, authorization] of attempts) {
      const response = await api.request.get(`/v1/clusters?cursor=${cursor}`).set('authorization', authorization).expect(400);
      expect(response.body).toMatchObject({ code: 'cursor.invalid', pointer: '/cursor' });
    }
  });

  it.each(['limit=0', 'limit=501', 'limit=x', 'colour=red'])('refuses ?%s', async (query) => {
    await api.request.get(`/v1/clusters?${query}`).set('authorization', tenant.authorization).expect(400);
  });

  it('shows only the clusters of a token that is bound to some', async () => {
    const { body } = await api.request.get('/v1/clusters').set('authorization', tenant.authorization);
    const [first, second] = body.items;
    const bound = await api.token(tenant.tenantId, ['viewer'], { clusters: [first.id], namespaces: 'all' });
    const list = await api.request.get('/v1/clusters').set('authorization', bound).expect(200);
    expect(list.body.items.map(({ id }: { id: string }) => id)).toEqual([first.id]);
    await api.request.get(`/v1/clusters/${second.id}`).set('authorization', bound).expect(404);
  });
});
