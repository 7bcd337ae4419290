import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiUnderTest } from '../testing/api-under-test.ts';

let api: ApiUnderTest;

beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

describe('GET /v1/self', () => {
  it('says who calls and what they may do', async () => {
    const { tenantId } = await api.tenant('acme');
    const authorization = await api.token(tenantId, ['viewer'], { clusters: [], namespaces: ['shop'] });
    const { body } = await api.request.get('/v1/self').set('authorization', authorization).expect(200);
    expect(body).toMatchObject({ tenant: { id: tenantId, name: 'acme' }, actor: { kind: 'token', roles: ['viewer'], clusters: [], namespaces: ['shop'] } });
    expect(body.actor.permissions).toContain('flows:read');
    expect(body.actor.permissions).not.toContain('policies:write');
  });
});
