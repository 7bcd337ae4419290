import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { withClient } from '../../../../tools/postgres/database.ts';
import { startApi, type ApiUnderTest, type TestTenant } from '../testing/api-under-test.ts';

let api: ApiUnderTest;
let tenant: TestTenant;
let clusterId: string;
let clusters = 0;

beforeAll(async () => {
  api = await startApi();
  tenant = await api.tenant('acme');
});
afterAll(() => api.close());
beforeEach(async () => {
  const { body } = await api.request.post('/v1/clusters').set('authorization', tenant.authorization).send({ name: `c-${++clusters}` }).expect(201);
  clusterId = body.id;
});

const policy = (name: string, port = '8080') => `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: ${name}, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: ${name} } }
  ingress:
    - fromEndpoints: [{ matchLabels: { app: frontend } }]
      toPorts: [{ ports: [{ port: "${port}", protocol: TCP }] }]
`;
const post = (path: string) => api.request.post(`/v1/clusters/${clusterId}${path}`).set('authorization', tenant.authorization);
const get = (path: string) => api.request.get(`/v1/clusters/${clusterId}${path}`).set('authorization', tenant.authorization);
const apply = (documents: string, more: object = {}) => post('/policies').send({ documents, ...more });
const countRows = async (table: string): Promise<number> => {
  const { rows } = await withClient(api.database.adminUrl, (client) => client.query(`SELECT count(*)::int AS n FROM palisade.${table} WHERE cluster_id = $1`, [clusterId]));
  return rows[0].n;
};

describe('applying policies', () => {
  it('makes one revision of all documents of one apply, as JSON or as YAML', async () => {
    const first = await apply(`${policy('backend')}---\n${policy('db', '5432')}`).expect(201);
    expect(first.body).toMatchObject({ revision: 1, dryRun: false, policies: [{ name: 'backend', change: 'created' }, { name: 'db', change: 'created' }] });
    const second = await post('/policies').set('content-type', 'application/yaml').send(policy('backend', '9090')).expect(201);
    expect(second.body).toMatchObject({ revision: 2, policies: [{ name: 'backend', change: 'updated', revision: 2 }] });
    expect(second.headers['etag']).toBe('"v2"');
    const list = await get('/policies').expect(200);
    expect(list.body.items.map(({ key, revision }: { key: string; revision: number }) => [key, revision])).toEqual([
      ['CiliumNetworkPolicy:shop/backend', 2],
      ['CiliumNetworkPolicy:shop/db', 1],
    ]);
  });

  it('keeps the version of a policy that did not change', async () => {
    await apply(policy('backend')).expect(201);
    const again = await apply(policy('backend')).expect(201);
    expect(again.body).toMatchObject({ revision: 2, policies: [{ change: 'unchanged', revision: 1 }] });
    expect(await countRows('policy_versions')).toBe(1);
  });

  it('stores nothing when one of the documents is wrong, and names every fault with its place', async () => {
    const wrong = policy('db').replace('endpointSelector', 'endpointSelectr');
    const response = await apply(`${policy('backend')}---\n${wrong}`).expect(422);
    expect(response.body).toMatchObject({ code: 'policy.invalid', pointer: '/spec/endpointSelectr', errors: [{ code: 'field.unknown', document: 1, line: expect.any(Number), column: expect.any(Number) }, ...response.body.errors.slice(1)] });
    expect(await countRows('policies')).toBe(0);
    expect(await countRows('policy_revisions')).toBe(0);
    const { body } = await get('').expect(200);
    expect(body.policyRevision).toBe(0);
  });

  it.each([
    ['broken YAML', 'a: [', 'yaml.syntax'],
    ['an unknown kind', 'apiVersion: v1\nkind: Pod\nmetadata: { name: x }\n', 'kind.unsupported'],
  ])('refuses %s', async (_, text, code) => {
    const response = await apply(text).expect(422);
    expect(response.body.errors[0].code).toBe(code);
  });

  it('refuses a text without any policy, and the same policy twice', async () => {
    await apply('').expect(422);
    const twice = await apply(`${policy('backend')}---\n${policy('backend')}`).expect(422);
    expect(twice.body.errors[0].code).toBe('policy.duplicate');
  });

  it('changes nothing on a dry run', async () => {
    const response = await apply(policy('backend'), { dryRun: true }).expect(201);
    expect(response.body).toMatchObject({ revision: 1, dryRun: true, policies: [{ change: 'created' }] });
    expect(await countRows('policies')).toBe(0);
  });

  it('refuses a stale revision', async () => {
    await apply(policy('backend')).set('if-match', '"v0"').expect(201);
    const stale = await apply(policy('db')).set('if-match', '"v0"').expect(412);
    expect(stale.body.code).toBe('resource.stale');
  });

  it('gives concurrent applies revisions of their own, none lost', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => apply(policy(`p-${i}`))));
    expect(answers.map(({ body }) => body.revision).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const { body } = await get('/policies');
    expect(body.items.length).toBe(8);
  });

  it('takes a text of megabytes here and nowhere else', async () => {
    const large = `${policy('backend')}# ${'x'.repeat(3_000_000)}\n`;
    await apply(large).expect(201);
    const tooLarge = await apply('x'.repeat(6_000_000)).expect(413);
    expect(tooLarge.body.code).toBe('request.too-large');
  });

  it('keeps nil and empty apart through the database', async () => {
    const network = (rest: string) => `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: n${rest.length}, namespace: shop }\nspec: { podSelector: {}, policyTypes: [Ingress]${rest} }\n`;
    const documentOf = async (text: string): Promise<unknown> => {
      const { body } = await apply(text).expect(201);
      const detail = await get(`/policies/${body.policies[0].id}`).expect(200);
      return detail.body.document.blocks[0].rules;
    };
    expect(await documentOf(network(''))).toEqual([]);
    expect(await documentOf(network(', ingress: [{}]'))).toMatchObject([{ peers: [{ kind: 'any' }], ports: [{ ports: [{ kind: 'any' }] }] }]);
    expect(await documentOf(network(', ingress: [{ from: [{ podSelector: {} }] }]'))).toMatchObject([{ peers: [{ kind: 'endpoints' }] }]);
  });
});

describe('removing a policy', () => {
  it('is a new revision without it, and earlier revisions stay as they were', async () => {
    const applied = await apply(`${policy('backend')}---\n${policy('db')}`).expect(201);
    const [backend] = applied.body.policies;
    const removed = await api.request.delete(`/v1/clusters/${clusterId}/policies/${backend.id}`).set('authorization', tenant.authorization).expect(200);
    expect(removed.body).toMatchObject({ revision: 2, removed: 1 });
    const list = await get('/policies').expect(200);
    expect(list.body.items.map(({ name }: { name: string }) => name)).toEqual(['db']);
    const detail = await get(`/policies/${backend.id}`).expect(200);
    expect(detail.body).toMatchObject({ removedAtRevision: 2, versions: [{ revision: 1, endedAtRevision: 2 }] });
    await api.request.delete(`/v1/clusters/${clusterId}/policies/${backend.id}`).set('authorization', tenant.authorization).expect(404);
    const again = await apply(policy('backend')).expect(201);
    expect(again.body.policies[0]).toMatchObject({ id: backend.id, change: 'created', revision: 3 });
    const revisions = await get('/policy-revisions?limit=2').expect(200);
    expect(revisions.body.items.map(({ revision }: { revision: number }) => revision)).toEqual([3, 2]);
    const rest = await get(`/policy-revisions?limit=2&cursor=${revisions.body.next}`).expect(200);
    expect(rest.body.items.map(({ revision }: { revision: number }) => revision)).toEqual([1]);
  });
});

describe('a cluster that asks for approval', () => {
  const rollOut = (policyRevision: number) => post('/rollouts').send({ policyRevision, supersede: true });
  const approve = (revision: number, authorization: string) => api.request.post(`/v1/clusters/${clusterId}/policy-revisions/${revision}/approvals`).set('authorization', authorization);

  it('rolls out what another person than any of the authors has approved, and nothing else', async () => {
    await api.request.patch(`/v1/clusters/${clusterId}`).set('authorization', tenant.authorization).send({ settings: { requireApproval: true } }).expect(200);
    const second = await api.token(tenant.tenantId, ['security-admin']);
    const third = await api.token(tenant.tenantId, ['security-admin']);
    await apply(policy('backend')).expect(201);
    await api.request.post(`/v1/clusters/${clusterId}/policies`).set('authorization', second).send({ documents: policy('db') }).expect(201);

    const refused = await rollOut(2).expect(409);
    expect(refused.body).toMatchObject({ code: 'resource.conflict', params: { policyRevision: 2 } });
    await rollOut(0).expect(409);
    await approve(2, tenant.authorization).expect(403);
    await approve(2, second).expect(403);
    await approve(3, third).expect(404);
    await approve(0, third).expect(400);
    await approve(2, await api.token(tenant.tenantId, ['app-team'])).expect(403);

    const approved = await approve(2, third).expect(201);
    expect((await approve(2, third).expect(201)).body).toEqual(approved.body);
    await rollOut(2).expect(201);
    await rollOut(1).expect(409);

    await apply(policy('backend', '9090')).expect(201);
    await rollOut(3).expect(409);
    await approve(3, second).expect(201);
  });
});

describe('asking a verdict', () => {
  const ask = (question: object) => post('/verdicts').send({ protocol: 'TCP', port: 8080, ...question });

  /** What the worker writes when a node has reported its endpoints. */
  async function addWorkloads(): Promise<void> {
    await withClient(api.database.adminUrl, async (client) => {
      const node = await client.query(
        `WITH token AS (INSERT INTO palisade.enrollment_tokens (tenant_id, cluster_id, name, public_id, secret_hash, max_uses, expires_at, created_by)
                        VALUES ($1::uuid, $2::uuid, 't', substr(md5($2::uuid::text), 1, 12), decode(repeat('00', 32), 'hex'), 1, now() + interval '1 hour', 'test') RETURNING id)
         INSERT INTO palisade.nodes (tenant_id, cluster_id, name, enrollment_uuid, token_id, public_key, hostname, agent_version, arch, kernel, attestation, published_fact)
         SELECT $1::uuid, $2::uuid, 'n1', uuidv7(), id, '\\x00', 'n1', '0', 'x64', '{}', '{}', '{"name":"n1","labels":{},"addresses":["10.0.0.1"]}' FROM token RETURNING id`,
        [tenant.tenantId, clusterId],
      );
      for (const [i, app] of ['frontend', 'backend', 'db'].entries()) {
        const labels = { 'k8s:app': app, 'k8s:io.kubernetes.pod.namespace': 'shop', 'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name': 'shop' };
        const fact = { key: `pod/shop/${app}`, namespace: 'shop', name: app, identity: 300 + clusters * 10 + i, network: 'default', addresses: [`10.1.${clusters}.${i + 1}`], node: 'n1' };
        await client.query('INSERT INTO palisade.identities (tenant_id, id, labels, labels_digest) VALUES ($1, $2, $3, sha256($4))', [tenant.tenantId, fact.identity, JSON.stringify(labels), Buffer.from(`${fact.identity}`)]);
        await client.query('INSERT INTO palisade.workloads (tenant_id, cluster_id, key, node_id, identity_id, network, addresses, fact) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)', [
          tenant.tenantId,
          clusterId,
          fact.key,
          node.rows[0].id,
          fact.identity,
          'default',
          fact.addresses,
          JSON.stringify(fact),
        ]);
      }
    });
  }

  it('answers allow and deny with the deciding policy, for now and for an earlier revision', async () => {
    await addWorkloads();
    await apply(policy('backend')).expect(201);
    const allowed = await ask({ source: { workload: 'pod/shop/frontend' }, destination: { workload: 'pod/shop/backend' } }).expect(200);
    expect(allowed.body).toMatchObject({ verdict: 'allow', policyRevision: 1, ingress: { reason: 'rule', policies: [{ kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'backend', revision: 1, index: 0 }] } });
    const denied = await ask({ source: { workload: 'pod/shop/db' }, destination: { workload: 'pod/shop/backend' } }).expect(200);
    expect(denied.body).toMatchObject({ verdict: 'deny', ingress: { reason: 'default-deny', nearest: { because: expect.any(String) } } });
    expect(denied.body.text).toContain('is denied');
    const before = await ask({ source: { workload: 'pod/shop/db' }, destination: { workload: 'pod/shop/backend' }, policyRevision: 0 }).expect(200);
    expect(before.body).toMatchObject({ verdict: 'allow', policyRevision: 0 });
  });

  it('refuses unknown workloads, revisions and malformed questions', async () => {
    await ask({ source: { workload: 'pod/shop/nobody' }, destination: { address: '10.0.0.9' } }).expect(404);
    await ask({ source: { address: '10.0.0.8' }, destination: { address: '10.0.0.9' }, policyRevision: 7 }).expect(404);
    await ask({ source: { address: 'not an address' }, destination: { address: '10.0.0.9' } }).expect(400);
    const noPort = await ask({ source: { address: '10.0.0.8' }, destination: { address: '10.0.0.9' }, port: undefined }).expect(400);
    expect(noPort.body.pointer).toBe('/port');
  });
});
