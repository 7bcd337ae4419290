import { WHOLE_TENANT } from '@palisade/tenancy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiUnderTest, type TestTenant } from '../testing/api-under-test.ts';

let api: ApiUnderTest;
let tenant: TestTenant;

beforeAll(async () => {
  api = await startApi();
  tenant = await api.tenant('acme');
});
afterAll(() => api.close());

const call = (method: 'get' | 'post' | 'put' | 'patch' | 'delete', path: string, authorization = tenant.authorization) => api.request[method](`/v1/${path}`).set('authorization', authorization);
const audited = async (): Promise<{ action: string; summary: string }[]> => (await call('get', 'audit/events?limit=50').expect(200)).body.items;

describe('flow sinks', () => {
  const body = { name: 'otel', endpoint: 'https://otel.example.com/otlp', headers: { authorization: 'Bearer s3cret' } };

  it('are created, shown without their secrets, changed against their version, and removed', async () => {
    const created = await call('post', 'flow-sinks').send(body).expect(201);
    expect(created.body).toMatchObject({ name: 'otel', endpoint: 'https://otel.example.com/otlp', headerNames: ['authorization'], logs: true, metrics: true, enabled: true, sentFlows: 0 });
    const { id } = created.body as { id: string };
    expect((await call('post', 'flow-sinks').send(body).expect(409)).body).toMatchObject({ code: 'resource.conflict' });
    expect((await call('get', 'flow-sinks').expect(200)).body.items).toHaveLength(1);
    const read = await call('get', `flow-sinks/${id}`).expect(200).expect('etag', '"v1"');
    expect(read.text).not.toContain('s3cret');
    expect((await call('patch', `flow-sinks/${id}`).set('if-match', '"v1"').send({ enabled: false }).expect(200)).body).toMatchObject({ enabled: false, version: 2, headerNames: ['authorization'] });
    expect((await call('patch', `flow-sinks/${id}`).set('if-match', '"v1"').send({ enabled: true }).expect(412)).body).toMatchObject({ code: 'resource.stale' });
    await call('delete', `flow-sinks/${id}`).expect(204);
    await call('get', `flow-sinks/${id}`).expect(404);
    const events = await audited();
    expect(events.map(({ action }) => action)).toEqual(expect.arrayContaining(['flow-sink.created', 'flow-sink.updated', 'flow-sink.removed']));
    expect(JSON.stringify(events)).not.toContain('s3cret');
  });

  it.each([
    ['no URL', { endpoint: 'otel' }], ['another protocol', { endpoint: 'ftp://x.example' }], ['credentials in the URL', { endpoint: 'https://u:p@x.example' }], ['a query', { endpoint: 'https://x.example/?a=b' }],
    ['a broken header name', { headers: { 'a b': 'c' } }], ['a line break in a header', { headers: { a: 'b\r\nc: d' } }], ['a header that is not its own', { headers: { 'Content-Length': '1' } }], ['nothing to send', { logs: false, metrics: false }],
    ['a field too many', { colour: 'red' }],
  ])('refuse %s', async (_, over) => {
    expect((await call('post', 'flow-sinks').send({ ...body, name: 'x', ...over }).expect(400)).body).toMatchObject({ code: 'request.invalid' });
  });

  it('are not for viewers, nor for who is bound to a part of the tenant', async () => {
    await call('get', 'flow-sinks', await api.token(tenant.tenantId, ['viewer'])).expect(403);
    const bound = await api.token(tenant.tenantId, ['owner'], { ...WHOLE_TENANT, namespaces: ['shop'] });
    await call('post', 'flow-sinks', bound).send(body).expect(403);
    await call('get', 'flow-sinks', bound).expect(403);
  });

  it('are of their tenant only, and so many', async () => {
    const other = await api.tenant('globex');
    const { body: sink } = await call('post', 'flow-sinks').send({ ...body, name: 'mine' }).expect(201);
    await call('get', `flow-sinks/${sink.id}`, other.authorization).expect(404);
    await call('delete', `flow-sinks/${sink.id}`, other.authorization).expect(404);
    for (let index = 0; index < 4; index++) await call('post', 'flow-sinks').send({ ...body, name: `more-${index}` }).expect(201);
    await call('post', 'flow-sinks').send({ ...body, name: 'one-too-many' }).expect(409);
  });
});

describe('what of the traffic is stored', () => {
  it('is nothing sensitive by default, and a change is audited with what it was', async () => {
    const read = await call('get', 'flow-privacy').expect(200).expect('etag', '"v0"');
    expect(read.body).toEqual({ keepQueryStrings: false, keepProcessArguments: false, version: 0 });
    expect((await call('put', 'flow-privacy').set('if-match', '"v0"').send({ keepQueryStrings: true, keepProcessArguments: false }).expect(200)).body).toMatchObject({ keepQueryStrings: true, version: 1 });
    await call('put', 'flow-privacy').set('if-match', '"v0"').send({ keepQueryStrings: false, keepProcessArguments: true }).expect(412);
    expect((await call('put', 'flow-privacy').send({ keepQueryStrings: false, keepProcessArguments: true }).expect(200)).body).toMatchObject({ version: 2 });
    const [event] = (await audited()).filter(({ action }) => action === 'flow-privacy.updated');
    expect(event).toMatchObject({ summary: 'From now on query strings are redacted and process arguments are kept.', details: { queryStringsBefore: true, queryStringsAfter: false, processArgumentsAfter: true } });
  });

  it('is not for everybody to change', async () => {
    const body = { keepQueryStrings: true, keepProcessArguments: true };
    await call('put', 'flow-privacy', await api.token(tenant.tenantId, ['platform-operator'])).send(body).expect(403);
    await call('put', 'flow-privacy', await api.token(tenant.tenantId, ['owner'], { ...WHOLE_TENANT, clusters: [] })).send(body).expect(403);
    await call('put', 'flow-privacy').send({ keepQueryStrings: 'yes' }).expect(400);
  });
});
