import type { Rollout } from '@palisade/control';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startFleet, type FleetUnderTest, type TestNode } from '../testing/fleet-under-test.ts';

let fleet: FleetUnderTest;
let nodes: TestNode[];
beforeAll(async () => {
  fleet = await startFleet();
  nodes = await fleet.nodes(6);
});
afterAll(() => fleet.close());
beforeEach(async () => {
  await fleet.admin("UPDATE palisade.rollouts SET state = 'canceled' WHERE state IN ('draft', 'validating', 'ready', 'running', 'paused')");
});

const QUICK = { bakeMs: 0 };
const create = (input: object = {}): Promise<Rollout> => fleet.createRollout.execute(fleet.context, { clusterId: fleet.clusterId, gate: QUICK, leaseMs: 60_000, ...input });
const advance = (id: string) => fleet.advance.execute(fleet.context, id);
const read = (id: string): Promise<Rollout> => fleet.unitOfWork.run(fleet.context, async ({ rollouts }) => (await rollouts.find(id))!);
const waves = (id: string) => fleet.unitOfWork.run(fleet.context, ({ rollouts }) => rollouts.listWaves(id));
const states = async (id: string): Promise<Record<string, string>> =>
  Object.fromEntries((await fleet.admin<{ node_id: string; state: string }>('SELECT node_id, state FROM palisade.rollout_nodes WHERE rollout_id = $1', [id])).map((row) => [row.node_id, row.state]));
const orders = async () => fleet.desk.orders(fleet.context.tenantId, nodes.map((node) => node.nodeId));

/** Every node that is offered the rollout's generation says that it runs it. */
async function obey(id: string, change: object = {}): Promise<number> {
  const rollout = await read(id);
  const wanted = await orders();
  let obeyed = 0;
  for (const node of nodes) {
    const desired = wanted.get(node.nodeId)?.desired;
    if (desired === undefined || desired === null || rollout.target === null || desired.n !== rollout.target.generation.n) continue;
    await fleet.checkIn(node.nodeId, { generation: { epoch: desired.epoch, n: desired.n }, contentDigest: desired.contentDigest, state: 'healthy', ...change });
    obeyed += 1;
  }
  return obeyed;
}

async function finish(id: string): Promise<void> {
  for (let turn = 0; turn < 20 && (await read(id)).state !== 'succeeded'; turn += 1) {
    await advance(id);
    await obey(id);
  }
}

describe('a rollout', () => {
  it('offers the canary alone, then wave after wave, and ends with every node on the generation', async () => {
    const { id } = await create();
    await advance(id);
    expect(Object.values(await states(id)).filter((state) => state === 'offered')).toHaveLength(1);
    expect(await obey(id)).toBe(1);
    await finish(id);
    const rollout = await read(id);
    expect(rollout.state).toBe('succeeded');
    expect((await waves(id)).map((wave) => [wave.name, wave.size, wave.state])).toEqual([['canary', 1, 'passed'], ['50 %', 2, 'passed'], ['rest', 3, 'passed']]);
    for (const order of (await orders()).values()) expect(order.desired?.n).toBe(rollout.target?.generation.n);
  });

  it('never counts health that is claimed under another digest', async () => {
    const { id } = await create();
    await advance(id);
    await obey(id, { contentDigest: 'f'.repeat(64) });
    await advance(id);
    expect(await read(id)).toMatchObject({ state: 'halted', reason: expect.stringContaining('failed or reverted') });
    const [failed] = await fleet.admin<{ reason: string }>("SELECT reason FROM palisade.rollout_nodes WHERE rollout_id = $1 AND state = 'failed'", [id]);
    expect(failed?.reason).toContain('the signed content is');
  });

  it('rolls back by a higher generation that points at the old content', async () => {
    const first = await create();
    await finish(first.id);
    const before = await read(first.id);
    await fleet.admin("INSERT INTO palisade.policy_revisions (tenant_id, cluster_id, revision, source, digest, applied, removed, created_by) VALUES ($1, $2, 1, '', '', 0, 0, 'test')", [fleet.context.tenantId, fleet.clusterId]);
    await fleet.admin('UPDATE palisade.clusters SET policy_revision = 1 WHERE id = $1', [fleet.clusterId]);
    const second = await create({ policyRevision: 1 });
    await finish(second.id);
    const undo = await fleet.steer.execute(fleet.context, fleet.clusterId, second.id, 'roll-back');
    await finish(undo.id);
    const [undone, undoing] = [await read(second.id), await read(undo.id)];
    await advance(second.id);
    expect((await read(second.id)).state).toBe('rolled_back');
    expect(undoing.target!.generation.n).toBeGreaterThan(undone.target!.generation.n);
    expect(undoing.bundleId).toBe(before.bundleId);
    expect(undoing.target!.byArch['amd64']!.contentDigest).toBe(before.target!.byArch['amd64']!.contentDigest);
  });

  it('skips nodes that are offline and gives them the generation once it has succeeded', async () => {
    const absent = nodes[5]!.nodeId;
    await fleet.admin("UPDATE palisade.node_observations SET seen_at = now() - interval '1 hour' WHERE node_id = $1", [absent]);
    const { id } = await create({ gate: { ...QUICK, maxSkippedOffline: 0.5 }, strategy: { kind: 'sizes', sizes: [{ fraction: 1 }] } });
    await advance(id);
    expect((await states(id))[absent]).toBe('skipped_offline');
    await finish(id);
    expect((await orders()).get(absent)?.desired?.n).toBe((await read(id)).target?.generation.n);
    await fleet.checkIn(absent);
  });

  it('is refused while another one of the channel is active, and takes its place when asked to', async () => {
    const first = await create();
    await expect(create()).rejects.toMatchObject({ code: 'resource.conflict' });
    const second = await create({ supersede: true });
    expect((await read(first.id)).state).toBe('superseded');
    expect((await read(second.id)).state).toBe('draft');
  });
});

describe('nodes in flight', () => {
  const offered = async (id: string) => Object.entries(await states(id)).filter(([, state]) => state === 'offered').map(([node]) => node);
  const all = { strategy: { kind: 'sizes', sizes: [{ fraction: 1 }] } as const };

  it('are never more than the rollout allows, and the next ones follow as they settle', async () => {
    const { id } = await create({ ...all, maxInFlight: 2 });
    let most = 0;
    for (let turn = 0; turn < 20 && (await read(id)).state !== 'succeeded'; turn += 1) {
      await advance(id);
      most = Math.max(most, (await offered(id)).length);
      await obey(id);
    }
    expect((await read(id)).state).toBe('succeeded');
    expect(most).toBe(2);
  });

  it('give their place back when they are quarantined, and are not waited for', async () => {
    const { id } = await create({ ...all, maxInFlight: 1, gate: { ...QUICK, maxSkippedOffline: 0.5 } });
    await advance(id);
    const [locked] = (await offered(id)) as [string];
    await fleet.admin("UPDATE palisade.nodes SET state = 'locked' WHERE id = $1", [locked]);
    await advance(id);
    expect(await offered(id)).toHaveLength(1);
    expect(await offered(id)).not.toContain(locked);
    await finish(id);
    expect((await read(id)).state).toBe('succeeded');
    expect((await states(id))[locked]).toBe('skipped_offline');
    await fleet.admin("UPDATE palisade.nodes SET state = 'active' WHERE id = $1", [locked]);
  });

  it('that ran the generation while nobody heard them are heard when they are asked again', async () => {
    const { id } = await create({ leaseMs: 1_000 });
    await advance(id);
    await fleet.admin("UPDATE palisade.rollout_nodes SET lease_until = now() - interval '1 second' WHERE rollout_id = $1 AND state = 'offered'", [id]);
    await advance(id);
    expect((await read(id)).state).toBe('paused');
    // Late, so that it is recorded and not applied; afterwards the node has nothing new to say.
    await obey(id);
    await fleet.steer.execute(fleet.context, fleet.clusterId, id, 'resume');
    await advance(id);
    expect(Object.values(await states(id))).toContain('offered');
    await advance(id);
    expect(Object.values(await states(id))).toContain('healthy');
    await finish(id);
    expect((await read(id)).state).toBe('succeeded');
  });
});

describe('fault 14: the worker dies at any transition', () => {
  it('is resumed by the next one, and no node is offered twice', async () => {
    const { id } = await create();
    // A worker that dies between two transactions leaves exactly what a step limit of one leaves.
    const seen: string[] = [];
    for (let turn = 0; turn < 60 && seen.at(-1) !== 'succeeded'; turn += 1) {
      await Promise.all([advance(id), advance(id)]);
      await obey(id);
      seen.push((await read(id)).state);
    }
    expect(seen.at(-1)).toBe('succeeded');
    const offers = await fleet.admin<{ n: string }>("SELECT count(*) AS n FROM palisade.rollout_events WHERE rollout_id = $1 AND kind = 'wave-opened'", [id]);
    expect(Number(offers[0]?.n)).toBe((await waves(id)).length);
  });
});

describe('fault 17: the canary goes silent', () => {
  it('pauses the wave, and a resume asks the node again', async () => {
    const { id } = await create({ leaseMs: 1_000 });
    await advance(id);
    await fleet.admin("UPDATE palisade.rollout_nodes SET lease_until = now() - interval '1 second' WHERE rollout_id = $1 AND state = 'offered'", [id]);
    await advance(id);
    expect(await read(id)).toMatchObject({ state: 'paused', reason: expect.stringContaining('silent') });
    await fleet.steer.execute(fleet.context, fleet.clusterId, id, 'resume');
    await finish(id);
    expect((await read(id)).state).toBe('succeeded');
  });
});

describe('fault 18: HALT', () => {
  it.each(['draft', 'validating', 'ready', 'running', 'paused'])('from %s: nothing is offered afterwards', async (state) => {
    const { id } = await create();
    if (state === 'running' || state === 'paused') await advance(id);
    if (state === 'paused') await fleet.steer.execute(fleet.context, fleet.clusterId, id, 'pause');
    await fleet.admin('UPDATE palisade.rollouts SET state = $2 WHERE id = $1', [id, state]);
    const generation = (await read(id)).target?.generation.n;
    await fleet.steer.execute(fleet.context, fleet.clusterId, id, 'halt');
    await advance(id);
    await advance(id);
    expect((await read(id)).state).toBe('halted');
    expect(Object.values(await states(id)).filter((node) => node === 'offered')).toEqual([]);
    for (const order of (await orders()).values()) expect(order.desired?.n ?? 0).not.toBe(generation ?? -1);
  });
});

describe('fault 18: HALT of a rollback', () => {
  it('halts the rollout that carries it out, too: nothing is offered afterwards', async () => {
    const first = await create();
    await finish(first.id);
    const revision = await fleet.apply('apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: halt, namespace: shop }\nspec: { podSelector: {}, policyTypes: [Ingress] }\n');
    const second = await create({ policyRevision: revision });
    await finish(second.id);
    const undo = await fleet.steer.execute(fleet.context, fleet.clusterId, second.id, 'roll-back');
    await fleet.admin("UPDATE palisade.rollouts SET gate = jsonb_set(gate, '{bakeMs}', '600000') WHERE id = $1", [undo.id]);
    await advance(undo.id);
    expect(Object.values(await states(undo.id))).toContain('offered');
    expect(await fleet.steer.execute(fleet.context, fleet.clusterId, second.id, 'halt')).toMatchObject({ state: 'halted' });
    for (const id of [undo.id, second.id]) await advance(id);
    expect(await read(undo.id)).toMatchObject({ state: 'halted', reason: expect.stringContaining('was halted') });
    expect(Object.values(await states(undo.id))).not.toContain('offered');
    const generation = (await read(second.id)).target?.generation.n;
    for (const order of (await orders()).values()) expect(order.desired?.n).toBe(generation);
  });
});

describe('fault 19: superseded with nodes in flight', () => {
  it('records late reports, applies none, and gives the nodes the newest', async () => {
    const first = await create({ strategy: { kind: 'sizes', sizes: [{ fraction: 1 }] } });
    await advance(first.id);
    const target = (await read(first.id)).target!;
    const second = await create({ supersede: true });
    await fleet.checkIn(nodes[0]!.nodeId, { generation: target.generation, contentDigest: target.byArch['amd64']!.contentDigest, state: 'healthy' });
    await advance(first.id);
    expect(new Set(Object.values(await states(first.id)))).toEqual(new Set(['superseded']));
    await finish(second.id);
    const newest = (await read(second.id)).target!.generation.n;
    for (const order of (await orders()).values()) expect(order.desired?.n).toBe(newest);
  });
});
