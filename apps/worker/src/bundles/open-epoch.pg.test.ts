import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localSigner, parseEnvelope, parseRoot, sealEpochRecovery, sealRoot, tufKeyOf, type Signer } from '@palisade/bundle';
import { OpenEpoch } from '@palisade/control';
import { createLogger } from '@palisade/nest-kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFleet, type FleetUnderTest, type TestNode } from '../testing/fleet-under-test.ts';
import { takeRecoveries } from './take-recoveries.ts';

let fleet: FleetUnderTest;
let node: TestNode;
let openEpoch: OpenEpoch;
let root: Uint8Array;
const keys = generateKeyPairSync('ed25519');
const rootSigner: Signer = localSigner(keys.privateKey);
beforeAll(async () => {
  fleet = await startFleet();
  [node] = (await fleet.nodes(1)) as [TestNode];
  openEpoch = new OpenEpoch({ unitOfWork: fleet.unitOfWork });
  const role = { keys: [tufKeyOf(keys.publicKey)], threshold: 1 };
  root = await sealRoot(
    {
      version: 1,
      expiresMs: Date.now() + 3_600_000,
      roles: { root: role, targets: role, director: role, snapshot: role, timestamp: role },
      pinned: { trustDomain: 'palisade.test', gatewayCas: [fleet.nodeCaPem], nodeCas: [fleet.nodeCaPem] },
    },
    [rootSigner],
  );
});
afterAll(() => fleet.close());

const scope = () => ({ tenantId: fleet.context.tenantId, clusterId: fleet.clusterId });
const served = () => fleet.desk.recovery(fleet.context.tenantId, fleet.clusterId);
const healthyRollout = async (): Promise<{ epoch: number; n: number }> => {
  const { id } = await fleet.createRollout.execute(fleet.context, { clusterId: fleet.clusterId, gate: { bakeMs: 0 }, supersede: true });
  await fleet.advance.execute(fleet.context, id);
  const desired = (await fleet.desk.orders(fleet.context.tenantId, [node.nodeId])).get(node.nodeId)!.desired!;
  const generation = { epoch: desired.epoch, n: desired.n };
  await fleet.checkIn(node.nodeId, { generation, contentDigest: desired.contentDigest, state: 'healthy' });
  await fleet.advance.execute(fleet.context, id);
  return generation;
};

describe('an epoch recovery command', () => {
  it('is refused unless the root authority signed it', async () => {
    const command = await sealEpochRecovery({ ...scope(), epoch: 2n }, [localSigner(generateKeyPairSync('ed25519').privateKey)]);
    await expect(openEpoch.execute(parseRoot(root), command)).rejects.toMatchObject({ code: 'request.invalid' });
    expect(await served()).toBeUndefined();
    expect(await fleet.desk.epoch(fleet.context.tenantId, fleet.clusterId)).toBe(1);
  });

  it('found in the key folder opens the epoch once, is audited and is handed to nodes', async () => {
    await fleet.reports.execute(fleet.context, fleet.clusterId);
    expect(await healthyRollout()).toEqual({ epoch: 1, n: 1 });
    const dir = mkdtempSync(join(tmpdir(), 'palisade-epoch-'));
    mkdirSync(join(dir, 'recovery'));
    const command = await sealEpochRecovery({ ...scope(), epoch: 2n }, [rootSigner]);
    writeFileSync(join(dir, 'recovery/cluster.json'), command);
    writeFileSync(join(dir, 'recovery/broken.json'), '{}');
    for (let turn = 0; turn < 2; turn += 1) await takeRecoveries(dir, root, openEpoch, createLogger('test', 'silent'));
    rmSync(dir, { recursive: true });
    expect(await served()).toEqual(Buffer.from(command));
    expect(await fleet.desk.epoch(fleet.context.tenantId, fleet.clusterId)).toBe(2);
    expect(await fleet.auditOf('cluster.epoch-opened')).toHaveLength(1);
  });

  it('makes the next generation and the next identity message ones of the epoch', async () => {
    await fleet.reports.execute(fleet.context, fleet.clusterId);
    const { envelopes } = await fleet.desk.identities(fleet.context.tenantId, fleet.clusterId, 0, 1_000_000);
    const [snapshot] = envelopes.map((bytes) => parseEnvelope(bytes, 1_000_000));
    expect(snapshot?.payloadType).toContain('snapshot');
    expect(JSON.parse(Buffer.from(snapshot!.payload).toString())).toMatchObject({ epoch: '2' });
    expect(await healthyRollout()).toEqual({ epoch: 2, n: 1 });
  });

  it('of an older epoch changes nothing', async () => {
    const command = await sealEpochRecovery({ ...scope(), epoch: 2n }, [rootSigner]);
    expect(await openEpoch.execute(parseRoot(root), command)).toBe(false);
    expect(await healthyRollout()).toEqual({ epoch: 2, n: 2 });
  });
});
