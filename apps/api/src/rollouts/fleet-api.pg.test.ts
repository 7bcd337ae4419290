import { randomUUID } from 'node:crypto';
import { WakeListener } from '@palisade/store';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { withClient } from '../../../../tools/postgres/database.ts';
import { startApi, type ApiUnderTest, type TestTenant } from '../testing/api-under-test.ts';

let api: ApiUnderTest;
let tenant: TestTenant;
let cluster: string;
beforeAll(async () => {
  api = await startApi();
  tenant = await api.tenant('acme');
  const { body } = await api.request.post('/v1/clusters').set('authorization', tenant.authorization).send({ name: 'prod' }).expect(201);
  cluster = `/v1/clusters/${body.id}`;
});
afterAll(() => api.close());

const get = (path: string, authorization = tenant.authorization) => api.request.get(path).set('authorization', authorization);
const post = (path: string, body: object = {}, authorization = tenant.authorization) => api.request.post(path).set('authorization', authorization).send(body);
const remove = (path: string) => api.request.delete(path).set('authorization', tenant.authorization);
const actions = async (action: string): Promise<{ action: string; target: { id: string } }[]> => (await get(`/v1/audit/events?action=${action}`).expect(200)).body.items;

describe('enrollment tokens', () => {
  it('show their text once and never again, and keep only its hash', async () => {
    const created = await post(`${cluster}/enrollment-tokens`, { name: 'rack 7', maxUses: 5, labels: { ring: 'early' } }).expect(201);
    expect(created.body.token).toMatch(/^enr_[A-Za-z0-9]{12}\.[A-Za-z0-9_-]{43}$/);
    expect(created.body).toMatchObject({ name: 'rack 7', maxUses: 5, uses: 0, revokedAt: null, labels: { ring: 'early' } });
    const list = await get(`${cluster}/enrollment-tokens`).expect(200);
    expect(list.body.items).toHaveLength(1);
    expect(JSON.stringify(list.body)).not.toContain(created.body.token.split('.')[1]);
    expect(list.body.items[0]).not.toHaveProperty('token');
    expect(list.body.items[0]).not.toHaveProperty('secretHash');
    expect((await actions('enrollment-token.created'))[0]?.target.id).toBe(created.body.id);
  });

  it('are revoked once, and listed as such', async () => {
    const { body } = await post(`${cluster}/enrollment-tokens`, { name: 'old' }).expect(201);
    const first = await remove(`${cluster}/enrollment-tokens/${body.id}`).expect(200);
    const second = await remove(`${cluster}/enrollment-tokens/${body.id}`).expect(200);
    expect(first.body.revokedAt).not.toBeNull();
    expect(second.body.revokedAt).toBe(first.body.revokedAt);
  });

  it.each([
    [{}, '/name'],
    [{ name: 'x', maxUses: 0 }, '/maxUses'],
    [{ name: 'x', expiresInSeconds: 31 * 24 * 3600 }, '/expiresInSeconds'],
    [{ name: 'x', requiredAttestation: 'hope' }, '/requiredAttestation'],
    [{ name: 'x', labels: { 'reserved:host': 'x' } }, '/labels/reserved:host'],
  ])('refuse %j with the pointer %j', async (body, pointer) => {
    const response = await post(`${cluster}/enrollment-tokens`, body).expect(400);
    expect(response.body).toMatchObject({ code: 'request.invalid', pointer });
  });

  it('are not for viewers', async () => {
    const viewer = await api.token(tenant.tenantId, ['viewer']);
    await post(`${cluster}/enrollment-tokens`, { name: 'x' }, viewer).expect(403);
    await get(`${cluster}/enrollment-tokens`, viewer).expect(403);
  });

  it.each([randomUUID(), 'nonsense'])('that do not exist (%s) are not found', async (id) => {
    await remove(`${cluster}/enrollment-tokens/${id}`).expect(404);
  });
});

describe('nodes', () => {
  let nodeId: string;
  beforeAll(async () => {
    const clusterId = cluster.split('/').at(-1);
    const token = await post(`${cluster}/enrollment-tokens`, { name: 'for the node' });
    const { rows } = await withClient(api.database.adminUrl, (client) =>
      client.query<{ id: string }>(
        `INSERT INTO palisade.nodes (tenant_id, cluster_id, name, enrollment_uuid, token_id, public_key, hostname, agent_version, arch, kernel, attestation)
         VALUES ($1, $2, 'n0', gen_random_uuid(), $3, '', 'n0', '0.1.0', 'amd64', '{"release":"6.1","features":["tcx"]}', '{"method":"token"}') RETURNING id`,
        [tenant.tenantId, clusterId, token.body.id],
      ),
    );
    nodeId = rows[0]!.id;
  });

  it('are listed and read, with nothing observed before the first check-in', async () => {
    const list = await get(`${cluster}/nodes`).expect(200);
    expect(list.body.items).toMatchObject([{ id: nodeId, name: 'n0', state: 'active', observed: null, desiredGeneration: null, kernel: { release: '6.1', features: ['tcx'] } }]);
    expect((await get(`${cluster}/nodes/${nodeId}`).expect(200)).body).toEqual(list.body.items[0]);
  });

  it('take address ranges, and refuse what is none', async () => {
    const patch = (body: object) => api.request.patch(`${cluster}/nodes/${nodeId}`).set('authorization', tenant.authorization).send(body);
    expect((await patch({ addressRanges: ['10.0.0.0/24', 'fd00::/64'] }).expect(200)).body.addressRanges).toEqual(['10.0.0.0/24', 'fd00::/64']);
    expect((await patch({ addressRanges: ['10.0.0.0/33'] }).expect(400)).body.pointer).toBe('/addressRanges/0');
  });

  it('are revoked for good, and gateways hear of it', async () => {
    const woken: unknown[] = [];
    const listener = new WakeListener({ url: api.database.apiUrl, applicationName: 'test-wake', onWake: (wake) => void woken.push(wake), onError: () => undefined });
    await listener.start();
    expect((await remove(`${cluster}/nodes/${nodeId}`).expect(200)).body.state).toBe('revoked');
    await vi.waitFor(() => expect(woken).toContainEqual({ topic: 'node-state', tenant: tenant.tenantId, cluster: cluster.split('/').at(-1) }));
    await listener.close();
    const back = await api.request.patch(`${cluster}/nodes/${nodeId}`).set('authorization', tenant.authorization).send({ state: 'active' }).expect(409);
    expect(back.body.code).toBe('resource.conflict');
    expect(await actions('node.revoked')).toHaveLength(1);
  });

  it('of another tenant do not exist', async () => {
    const other = await api.tenant('other');
    await get(`${cluster}/nodes/${nodeId}`, other.authorization).expect(404);
    await get(`${cluster}/nodes`, other.authorization).expect(404);
  });
});

describe('rollouts', () => {
  it('are created, read with their waves, steered and listed newest first', async () => {
    const created = await post(`${cluster}/rollouts`, { gate: { bakeMs: 0 }, leaseMs: 5_000 }).expect(201);
    expect(created.body).toMatchObject({ state: 'draft', policyRevision: 0, generation: null, gate: { bakeMs: 0, minHealthy: 0.95 }, leaseMs: 5_000 });
    expect((await get(`${cluster}/rollouts/${created.body.id}`).expect(200)).body).toMatchObject({ id: created.body.id, waves: [], etaMs: null });
    const conflict = await post(`${cluster}/rollouts`).expect(409);
    expect(conflict.body.code).toBe('resource.conflict');
    const halted = await post(`${cluster}/rollouts/${created.body.id}/halt`, { reason: 'wrong day' }).expect(200);
    expect(halted.body).toMatchObject({ state: 'halted', reason: 'wrong day' });
    const second = await post(`${cluster}/rollouts`).expect(201);
    expect((await get(`${cluster}/rollouts`).expect(200)).body.items.map(({ id }: { id: string }) => id)).toEqual([second.body.id, created.body.id]);
    const events = await get(`${cluster}/rollouts/${created.body.id}/events`).expect(200);
    expect(events.body.items.map(({ kind }: { kind: string }) => kind)).toEqual(['created', 'halted']);
    expect((await get(`${cluster}/rollouts/${second.body.id}/nodes?state=healthy`).expect(200)).body.items).toEqual([]);
    expect(await actions('rollout.halted')).toHaveLength(1);
    await post(`${cluster}/rollouts/${second.body.id}/halt`).expect(200);
  });

  it.each([
    [{ policyRevision: 99 }, '/policyRevision'],
    [{ leaseMs: 1 }, '/leaseMs'],
    [{ strategy: { kind: 'sizes', sizes: [] } }, '/strategy/sizes'],
    [{ gate: { maxFailed: 2 } }, '/gate/maxFailed'],
    [{ windows: [{ days: [7], startMinute: 0, durationMinutes: 1 }] }, '/windows/0/days/0'],
  ])('refuse %j with the pointer %j and store nothing', async (body, pointer) => {
    const before = (await get(`${cluster}/rollouts`)).body.items.length;
    const response = await post(`${cluster}/rollouts`, body).expect(400);
    expect(response.body).toMatchObject({ code: 'request.invalid', pointer });
    expect((await get(`${cluster}/rollouts`)).body.items).toHaveLength(before);
  });

  it('take only the commands that their state allows', async () => {
    const { body } = await post(`${cluster}/rollouts`, { supersede: true }).expect(201);
    for (const command of ['pause', 'resume', 'rollback']) expect((await post(`${cluster}/rollouts/${body.id}/${command}`).expect(409)).body.code).toBe('resource.conflict');
    await post(`${cluster}/rollouts/${body.id}/halt`).expect(200);
    const nothing = await post(`${cluster}/rollouts/${body.id}/rollback`).expect(409);
    expect(nothing.body.detail).toContain('nothing to roll back to');
  });

  it('are read by viewers and steered by operators', async () => {
    const viewer = await api.token(tenant.tenantId, ['viewer']);
    await get(`${cluster}/rollouts`, viewer).expect(200);
    await post(`${cluster}/rollouts`, {}, viewer).expect(403);
    expect((await get(`${cluster}/bundles`, viewer).expect(200)).body.items).toEqual([]);
  });
});
