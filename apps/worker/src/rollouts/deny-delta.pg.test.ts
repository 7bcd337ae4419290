import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { randomUUID } from 'node:crypto';
import { startFleet, type FleetUnderTest, type TestNode } from '../testing/fleet-under-test.ts';

let fleet: FleetUnderTest;
let nodes: TestNode[];
beforeAll(async () => {
  fleet = await startFleet();
  nodes = await fleet.nodes(3);
  await fleet.admin("SELECT palisade.flow_ensure_partitions((now() - interval '1 day')::date, (now() + interval '1 day')::date)");
});
afterAll(() => fleet.close());

/** Dropped packets that a node's flows tell of, this many seconds from now. */
async function dropped(node: TestNode, packets: number, secondsFromNow: number): Promise<void> {
  const [tenantId, clusterId] = [fleet.context.tenantId, fleet.clusterId];
  await fleet.admin("INSERT INTO palisade.flow_observer (tenant_id, digest, cluster_id, node_id, node) VALUES ($1, decode(md5($3::uuid::text), 'hex'), $2, $3::uuid, 'n') ON CONFLICT DO NOTHING", [tenantId, clusterId, node.nodeId]);
  await fleet.admin(
    `INSERT INTO palisade.flow (tenant_id, last_seen, batch_id, packets, bytes, source_id, destination_id, observer_id, stamp_id, source_port, destination_port, "row", protocol, event, direction, verdict, is_reply)
     SELECT $1, now() + make_interval(secs => $3), 0, $4, 0, 1, 1, id, 1, 1, 1, 0, 6, 1, 1, 2, false FROM palisade.flow_observer WHERE node_id = $2`,
    [tenantId, node.nodeId, secondsFromNow, packets],
  );
  await fleet.admin(
    `INSERT INTO palisade.flow_batch (tenant_id, node_id, boot_id, seq, cluster_id, "rows", window_start, window_end, seen, sampled, losses, incomplete)
     VALUES ($1, $2, $3, 1, $4, 1, now(), now(), 1, 1, '{}', false)`,
    [tenantId, node.nodeId, randomUUID(), clusterId],
  );
}

async function canaryThatIsHealthy(): Promise<{ id: string; canary: TestNode; others: TestNode[] }> {
  const { id } = await fleet.createRollout.execute(fleet.context, { clusterId: fleet.clusterId, supersede: true, gate: { bakeMs: 0, maxDenyDelta: 1 } });
  await fleet.advance.execute(fleet.context, id);
  const [offered] = await fleet.admin<{ node_id: string }>("SELECT node_id FROM palisade.rollout_nodes WHERE rollout_id = $1 AND state = 'offered'", [id]);
  const canary = nodes.find((node) => node.nodeId === offered?.node_id)!;
  // The wave has been open for ten seconds.
  await fleet.admin("UPDATE palisade.rollout_waves SET opened_at = now() - interval '10 seconds' WHERE rollout_id = $1 AND index = 0", [id]);
  return { id, canary, others: nodes.filter((node) => node !== canary) };
}

async function healthy(id: string, canary: TestNode): Promise<{ state: string; reason: string | null }> {
  const desired = (await fleet.desk.orders(fleet.context.tenantId, [canary.nodeId])).get(canary.nodeId)!.desired!;
  await fleet.checkIn(canary.nodeId, { generation: { epoch: desired.epoch, n: desired.n }, contentDigest: desired.contentDigest, state: 'healthy' });
  await fleet.advance.execute(fleet.context, id);
  const [row] = await fleet.admin<{ state: string; reason: string | null }>('SELECT state, reason FROM palisade.rollouts WHERE id = $1', [id]);
  await fleet.admin('TRUNCATE palisade.flow, palisade.flow_batch');
  return row!;
}

describe('the deny-delta gate, from stored flows', () => {
  it('pauses when the updated node has delivered no flows: silence is not success', async () => {
    const { id, canary } = await canaryThatIsHealthy();
    expect(await healthy(id, canary)).toMatchObject({ state: 'paused', reason: expect.stringContaining('no updated node has delivered flows') });
  });

  it('halts when the updated node newly denies more than is tolerated', async () => {
    const { id, canary } = await canaryThatIsHealthy();
    await dropped(canary, 100, -2);
    expect(await healthy(id, canary)).toMatchObject({ state: 'halted', reason: expect.stringContaining('newly deny') });
  });

  it('goes on when it denied as much before', async () => {
    const { id, canary } = await canaryThatIsHealthy();
    await dropped(canary, 600, -30);
    await dropped(canary, 100, -2);
    expect(await healthy(id, canary)).toMatchObject({ state: 'running' });
  });

  it('goes on when nodes that were not updated deny as much more: the rollout is not the cause', async () => {
    const { id, canary, others } = await canaryThatIsHealthy();
    for (const node of [canary, ...others]) await dropped(node, 100, -2);
    expect(await healthy(id, canary)).toMatchObject({ state: 'running' });
  });
});
