import { generateKeyPairSync } from 'node:crypto';
import { localSigner, sealNodeObservation, type NodeObservation } from '@palisade/bundle';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startFleet, type FleetUnderTest, type TestNode } from '../testing/fleet-under-test.ts';

// What a gateway in foreign hands can make of what nodes say: nothing but silence.

let fleet: FleetUnderTest;
let node: TestNode;
beforeAll(async () => {
  fleet = await startFleet();
  [node] = (await fleet.nodes(1)) as [TestNode];
});
afterAll(() => fleet.close());

let rollout: string;
let offered: { epoch: number; n: number; contentDigest: string };
beforeEach(async () => {
  rollout = (await fleet.createRollout.execute(fleet.context, { clusterId: fleet.clusterId, gate: { bakeMs: 0 }, supersede: true })).id;
  await fleet.advance.execute(fleet.context, rollout);
  offered = (await fleet.desk.orders(fleet.context.tenantId, [node.nodeId])).get(node.nodeId)!.desired!;
});

const healthy = () => ({ generation: { epoch: offered.epoch, n: offered.n }, contentDigest: offered.contentDigest, state: 'healthy' as const });
const state = async (): Promise<string> => (await fleet.admin<{ state: string }>('SELECT state FROM palisade.rollout_nodes WHERE rollout_id = $1', [rollout]))[0]!.state;
const refusals = async (): Promise<string[]> => (await fleet.admin<{ detail: string }>("SELECT detail FROM palisade.rollout_events WHERE rollout_id = $1 AND kind = 'report-refused'", [rollout])).map(({ detail }) => detail);
const advance = () => fleet.advance.execute(fleet.context, rollout);
const sealed = (change: Partial<NodeObservation>, key = node.key, sequence = 1_000_000) =>
  sealNodeObservation(
    { nodeId: node.nodeId, bootId: 'boot', boot: 1, sequence, generation: { epoch: BigInt(offered.epoch), n: BigInt(offered.n) }, contentDigest: offered.contentDigest, state: 'healthy', subjectGeneration: null, reason: '', deniedPackets: 0n, ...change },
    localSigner(key),
  );

describe('a gateway that lies about a node', () => {
  it('is not believed without the node’s signature', async () => {
    await fleet.checkIn(node.nodeId, healthy(), { signedObservation: null });
    await advance();
    expect(await state()).toBe('offered');
    expect((await refusals()).at(-1)).toContain('has not signed');
  });

  it('is not believed with a signature of its own', async () => {
    await fleet.checkIn(node.nodeId, healthy(), { signedObservation: await sealed({}, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey) });
    await advance();
    expect(await state()).toBe('offered');
    expect((await refusals()).at(-1)).toContain('not the node\'s own word');
  });

  it('cannot put another claim beside what the node signed', async () => {
    await fleet.checkIn(node.nodeId, healthy(), { signedObservation: await sealed({ generation: null, contentDigest: '', state: 'none' }) });
    await advance();
    expect(await state()).toBe('offered');
  });

  it('cannot bring an older statement of the node again', async () => {
    const before = await sealed({}, node.key, 2_000_000);
    await fleet.checkIn(node.nodeId, { ...healthy(), state: 'loaded' }, { signedObservation: await sealed({ state: 'loaded' }, node.key, 2_000_001) });
    await advance();
    expect(await state()).toBe('loaded');
    await fleet.checkIn(node.nodeId, healthy(), { signedObservation: before });
    await advance();
    expect(await state()).toBe('loaded');
    expect((await refusals()).at(-1)).toContain('brought again');
  });

  it('cannot bring a statement of a former boot after one of a later boot', async () => {
    await fleet.checkIn(node.nodeId, { ...healthy(), state: 'loaded' }, { signedObservation: await sealed({ state: 'loaded', boot: 9 }, node.key, 1) });
    await advance();
    await fleet.checkIn(node.nodeId, healthy(), { signedObservation: await sealed({ boot: 8 }, node.key, 99_000_000) });
    await advance();
    expect(await state()).toBe('loaded');
  });

  it('changes nothing for a node that is heard: what it signed counts', async () => {
    await fleet.checkIn(node.nodeId, healthy(), { signedObservation: await sealed({ boot: 10 }) });
    await advance();
    expect(await state()).toBe('healthy');
  });
});
