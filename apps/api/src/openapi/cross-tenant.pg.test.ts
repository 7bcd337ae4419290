import type { OpenAPIObject } from '@nestjs/swagger';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiUnderTest, type TestTenant } from '../testing/api-under-test.ts';
import { openApiDocument } from './document.ts';
import { exampleOf, type JsonSchema } from '../testing/schema-example.ts';

/** Every operation of the document that names something by id, called by tenant A with the ids of tenant B. */
interface Operation {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  readonly path: string;
  readonly body: JsonSchema | undefined;
}

let api: ApiUnderTest;
let document: OpenAPIObject;
let owner: TestTenant;
let stranger: TestTenant;
let ids: Record<string, string>;

beforeAll(async () => {
  api = await startApi();
  document = openApiDocument(api.app);
  owner = await api.tenant('b');
  stranger = await api.tenant('a');
  ids = await thingsOf(owner);
});
afterAll(() => api.close());

/** Real ids of tenant B where the API can make them; for the rest ids that exist nowhere, which must look the same. */
async function thingsOf(tenant: TestTenant): Promise<Record<string, string>> {
  const post = (path: string) => api.request.post(path).set('authorization', tenant.authorization);
  const cluster = await post('/v1/clusters').send({ name: 'b-cluster' }).expect(201);
  const policy = await post(`/v1/clusters/${cluster.body.id}/policies`)
    .send({ documents: 'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: x, namespace: y }\nspec: { podSelector: {} }\n' })
    .expect(201);
  const token = await post('/v1/api-tokens').send({ name: 't', roles: ['viewer'] }).expect(201);
  return { clusterId: cluster.body.id, policyId: policy.body.policies[0].id, apiTokenId: token.body.id, revision: '1' };
}

function operations(): Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods as Record<string, { requestBody?: { content: Record<string, { schema: JsonSchema }> } }>).map(([method, operation]) => ({
      method: method as Operation['method'],
      path,
      body: operation.requestBody?.content['application/json']?.schema,
    })),
  );
}

function withIds(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => ids[path.startsWith('/v1/api-tokens') ? 'apiTokenId' : name] ?? '01980000-0000-7000-8000-000000000000');
}

describe('every operation of the OpenAPI document that takes an id', () => {
  it('answers a stranger 404 and nothing else', async () => {
    const answers: string[] = [];
    for (const { method, path, body } of operations().filter((operation) => operation.path.includes('{'))) {
      const request = api.request[method](withIds(path)).set('authorization', stranger.authorization);
      const response = body === undefined ? await request : await request.send(exampleOf(body, document) as object);
      if (response.status !== 404 || response.body.code !== 'resource.not-found') answers.push(`${method} ${path}: ${response.status} ${JSON.stringify(response.body)}`);
      expect(JSON.stringify(response.body)).not.toContain('b-cluster');
    }
    expect(answers).toEqual([]);
    expect(operations().length).toBeGreaterThan(10);
  });

  it('answers the owner of the ids something else, so that the test above means something', async () => {
    await api.request.get(withIds('/v1/clusters/{clusterId}')).set('authorization', owner.authorization).expect(200);
    await api.request.get(withIds('/v1/clusters/{clusterId}/policies/{policyId}')).set('authorization', owner.authorization).expect(200);
    await api.request.get(withIds('/v1/api-tokens/{tokenId}')).set('authorization', owner.authorization).expect(200);
  });
});

describe('every list of the OpenAPI document', () => {
  it('shows a stranger nothing of another tenant', async () => {
    const lists = operations().filter(({ method, path }) => method === 'get' && !path.includes('{'));
    for (const { path } of lists) {
      const response = await api.request.get(path).set('authorization', stranger.authorization).expect(200);
      const text = response.text ?? response.body.toString();
      for (const id of [ids['clusterId'], ids['policyId'], ids['apiTokenId'], owner.tenantId]) expect(text, path).not.toContain(id);
    }
    expect(lists.length).toBeGreaterThanOrEqual(4);
  });
});

describe('every operation of the OpenAPI document', () => {
  it('answers 401 without a token', async () => {
    for (const { method, path } of operations()) {
      const response = await api.request[method](withIds(path));
      expect([path, response.status, response.body.code]).toEqual([path, 401, 'auth.unauthenticated']);
    }
  });

  it('has an operation id of its own', () => {
    const names = Object.values(document.paths).flatMap((methods) => Object.values(methods as Record<string, { operationId?: string }>).map(({ operationId }) => operationId));
    expect(names.every((name) => /^[a-z][A-Za-z]+$/.test(name ?? ''))).toBe(true);
    expect(new Set(names).size).toBe(names.length);
  });
});
