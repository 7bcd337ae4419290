import { mintToken } from '@palisade/control';
import { PERMISSIONS, ROLES, rolesAllow, type Permission } from '@palisade/tenancy';
import { MetadataScanner, ModulesContainer, Reflector } from '@nestjs/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withClient } from '../../../../tools/postgres/database.ts';
import { startApi, type ApiUnderTest, type TestTenant } from '../testing/api-under-test.ts';
import { DenialRecorder } from './denial-recorder.ts';
import { OPERATION, type OperationOptions } from './operation.ts';

let api: ApiUnderTest;
let tenant: TestTenant;

beforeAll(async () => {
  api = await startApi();
  tenant = await api.tenant('acme');
});
afterAll(() => api.close());

const clusters = (authorization: string) => api.request.get('/v1/clusters').set('authorization', authorization);
const asAdmin = (sql: string, parameters: unknown[]) => withClient(api.database.adminUrl, (client) => client.query(sql, parameters));

describe('a bearer token', () => {
  it.each([
    ['no token', ''],
    ['another scheme', 'Basic dXNlcjpwYXNz'],
    ['a malformed token', 'Bearer pal_x.y'],
    ['an unknown token', `Bearer ${mintToken().text}`],
  ])('is refused when it is %s', async (_, authorization) => {
    const response = await clusters(authorization).expect(401);
    expect(response.body.code).toBe('auth.unauthenticated');
    expect(response.headers['www-authenticate']).toContain('Bearer');
  });

  it('is refused with a wrong secret, the same as an unknown one', async () => {
    const [id] = tenant.authorization.split('.');
    const wrong = await clusters(`${id}.${mintToken().text.split('.')[1]}`).expect(401);
    const unknown = await clusters(`Bearer ${mintToken().text}`).expect(401);
    expect({ ...wrong.body, instance: '' }).toEqual({ ...unknown.body, instance: '' });
  });

  it('is refused when it has expired, and when its tenant is suspended', async () => {
    const expired = await api.token(tenant.tenantId, ['owner']);
    await asAdmin("UPDATE palisade.api_tokens SET expires_at = now() - interval '1 second' WHERE public_id = $1", [expired.slice('Bearer pal_'.length).split('.')[0]]);
    await clusters(expired).expect(401);
    const suspended = await api.tenant('suspended');
    await clusters(suspended.authorization).expect(200);
    await asAdmin('UPDATE palisade.tenants SET suspended_at = now() WHERE tenant_id = $1', [suspended.tenantId]);
    await clusters(suspended.authorization).expect(401);
  });

  it('works until it is revoked, and shows its last use', async () => {
    const created = await api.request.post('/v1/api-tokens').set('authorization', tenant.authorization).send({ name: 'ci', roles: ['viewer'] }).expect(201);
    await clusters(`Bearer ${created.body.token}`).expect(200);
    const shown = await api.request.get(`/v1/api-tokens/${created.body.id}`).set('authorization', tenant.authorization).expect(200);
    expect(shown.body.lastUsedAt).toBeDefined();
    expect(JSON.stringify(shown.body)).not.toContain(created.body.token.split('.')[1]);
    await api.request.delete(`/v1/api-tokens/${created.body.id}`).set('authorization', tenant.authorization).expect(204);
    await clusters(`Bearer ${created.body.token}`).expect(401);
  });

  it('is in no log line and no table', async () => {
    const created = await api.request.post('/v1/api-tokens').set('authorization', tenant.authorization).set('idempotency-key', 'once').send({ name: 'secret', roles: ['viewer'] }).expect(201);
    const again = await api.request.post('/v1/api-tokens').set('authorization', tenant.authorization).set('idempotency-key', 'once').send({ name: 'secret', roles: ['viewer'] }).expect(201);
    expect(again.body.token).toBe(created.body.token);
    const secret = created.body.token.split('.')[1] as string;
    expect(api.logs.join('')).not.toContain(secret);
    for (const table of ['api_tokens', 'audit_event', 'idempotency_keys']) {
      const { rows } = await asAdmin(`SELECT t::text AS row FROM palisade.${table} t`, []);
      expect(rows.length).toBeGreaterThan(0);
      const text = rows.map(({ row }) => String(row)).join('');
      expect(text).not.toContain(secret);
      expect(text).not.toContain(Buffer.from(secret).toString('hex'));
    }
  });

  it('cannot hand out more than its own scope', async () => {
    const bound = await api.token(tenant.tenantId, ['owner'], { clusters: [], namespaces: ['shop'] });
    const post = (body: object) => api.request.post('/v1/api-tokens').set('authorization', bound).send({ name: 'x', roles: ['viewer'], ...body });
    await post({}).expect(403);
    await post({ clusters: [], namespaces: ['shop', 'bank'] }).expect(403);
    const within = await post({ clusters: [], namespaces: ['shop'] }).expect(201);
    expect(within.body).toMatchObject({ clusters: [], namespaces: ['shop'] });
  });
});

describe('a role', () => {
  it('is refused what the permission table does not give it, and the denial is audited once for many', async () => {
    const viewer = await api.token(tenant.tenantId, ['viewer']);
    for (let i = 0; i < 5; i++) {
      const response = await api.request.post('/v1/clusters').set('authorization', viewer).send({ name: 'nope' }).expect(403);
      expect(response.body).toMatchObject({ code: 'auth.forbidden', params: { permission: 'clusters:write' } });
    }
    await api.app.get(DenialRecorder).flush();
    const { body } = await api.request.get('/v1/audit/events?action=access.denied').set('authorization', tenant.authorization).expect(200);
    expect(body.items.map(({ details }: { details: { count: number } }) => details.count)).toEqual([4, 1]);
  });

  it('is not needed to see who tried: wrong secrets of a known token are audited for its tenant', async () => {
    const victim = await api.tenant('victim');
    const [id] = victim.authorization.split('.');
    for (let i = 0; i < 3; i++) await clusters(`${id}.${mintToken().text.split('.')[1]}`).expect(401);
    await api.app.get(DenialRecorder).flush();
    const { body } = await api.request.get('/v1/audit/events?action=authentication.refused').set('authorization', victim.authorization).expect(200);
    expect(body.items.map(({ details, outcome, sourceAddress }: { details: { count: number }; outcome: string; sourceAddress: string }) => [details.count, outcome, sourceAddress])).toEqual([
      [2, 'denied', expect.stringContaining('127.0.0.1')],
      [1, 'denied', expect.stringContaining('127.0.0.1')],
    ]);
    expect(body.items[0].summary).toContain('wrong secret');
  });

  it('of app-team changes policies of its own namespaces only', async () => {
    const { body } = await api.request.post('/v1/clusters').set('authorization', tenant.authorization).send({ name: 'team' }).expect(201);
    const team = await api.token(tenant.tenantId, ['app-team'], { clusters: 'all', namespaces: ['shop'] });
    const apply = (namespace: string) =>
      api.request
        .post(`/v1/clusters/${body.id}/policies`)
        .set('authorization', team)
        .send({ documents: `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: p, namespace: ${namespace} }\nspec: { podSelector: {} }\n` });
    await apply('shop').expect(201);
    await apply('bank').expect(403);
  });
});

describe('every route', () => {
  it('declares a permission of the table', () => {
    const reflector = new Reflector();
    const controllers = [...api.app.get(ModulesContainer).values()].flatMap((module) => [...module.controllers.values()]);
    const routes = controllers.flatMap(({ metatype, instance }) =>
      new MetadataScanner().getAllMethodNames(Object.getPrototypeOf(instance)).map((method) => {
        const handler = (instance as Record<string, object>)[method] as () => void;
        return { route: `${metatype?.name}.${method}`, isRoute: Reflect.hasMetadata('path', handler), operation: reflector.get<OperationOptions | undefined>(OPERATION, handler) };
      }),
    );
    const undeclared = routes.filter(({ isRoute, operation }) => isRoute && (operation === undefined || !(operation.permission in PERMISSIONS)));
    expect(undeclared.map(({ route }) => route)).toEqual([]);
    expect(routes.filter(({ isRoute }) => isRoute).length).toBeGreaterThan(10);
  });

  it('that is unknown is a problem document too', async () => {
    const response = await api.request.get('/v1/nothing').set('authorization', tenant.authorization).expect(404);
    expect(response.headers['content-type']).toContain('application/problem+json');
  });
});

describe('the permission table', () => {
  it('gives everything to owners and no writing to auditors and viewers', () => {
    for (const permission of Object.keys(PERMISSIONS) as Permission[]) {
      expect(rolesAllow(['owner'], permission)).toBe(true);
      expect(permission.endsWith(':write') && rolesAllow(['auditor', 'viewer'], permission)).toBe(false);
      expect(rolesAllow([], permission)).toBe(false);
    }
    expect(ROLES.length).toBe(6);
  });
});
