import { afterAll, beforeAll, expect, it } from 'vitest';
import { startFleet, type FleetUnderTest } from '../testing/fleet-under-test.ts';

let fleet: FleetUnderTest;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet.close());

it('break-glass on a node is audited once, when the node tells of it', async () => {
  const [node] = await fleet.nodes(1);
  const disable = { kind: 'disable', atMs: 1_000, detail: 'for 30m' };
  await fleet.checkIn(node!.nodeId, { localActs: [disable] });
  await fleet.localActs.execute(fleet.context, fleet.clusterId);
  await fleet.checkIn(node!.nodeId, { localActs: [disable, { kind: 'enable', atMs: 2_000, detail: '' }] });
  await fleet.localActs.execute(fleet.context, fleet.clusterId);
  await fleet.localActs.execute(fleet.context, fleet.clusterId);
  expect((await fleet.auditOf('node.local-act')).map((event) => event.details)).toMatchObject([{ kind: 'disable' }, { kind: 'enable' }]);
});
