import type { Rollout } from '@palisade/control';
import { parseEnvelope } from '@palisade/bundle';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFleet, type FleetUnderTest, type TestNode } from '../testing/fleet-under-test.ts';

let fleet: FleetUnderTest;
let node: TestNode;
let first: number;
let second: number;
beforeAll(async () => {
  fleet = await startFleet();
  [node] = (await fleet.nodes(1)) as [TestNode];
  first = await fleet.apply(policy('first', 'enforce'));
  second = await fleet.apply(policy('second', 'enforce'));
});
afterAll(() => fleet.close());

const policy = (name: string, mode: string) => `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: ${name}, namespace: shop, annotations: { palisade.io/mode: ${mode} } }
spec: { podSelector: {}, policyTypes: [Ingress] }
`;

/** Rolls out and lets the node obey. @returns the rollout and the manifest that the node was handed */
async function rollOut(input: { policyRevision?: number; shadowPolicyRevision?: number }): Promise<{ rollout: Rollout; manifest: Record<string, unknown> & { policy: { revision: string; sha256: string }; shadow_policy?: { revision: string; sha256: string } } }> {
  const { id } = await fleet.createRollout.execute(fleet.context, { clusterId: fleet.clusterId, gate: { bakeMs: 0 }, supersede: true, ...input });
  return obey(id);
}

async function obey(id: string): Promise<Awaited<ReturnType<typeof rollOut>>> {
  await fleet.advance.execute(fleet.context, id);
  const desired = (await fleet.desk.orders(fleet.context.tenantId, [node.nodeId])).get(node.nodeId)!.desired!;
  await fleet.checkIn(node.nodeId, { generation: { epoch: desired.epoch, n: desired.n }, contentDigest: desired.contentDigest, state: 'healthy' });
  await fleet.advance.execute(fleet.context, id);
  const rollout = await fleet.unitOfWork.run(fleet.context, async ({ rollouts }) => (await rollouts.find(id))!);
  expect(rollout).toMatchObject({ state: 'succeeded', reason: null });
  const envelope = (await fleet.desk.manifest(fleet.context.tenantId, fleet.clusterId, desired.manifestSha256))!;
  return { rollout, manifest: JSON.parse(Buffer.from(parseEnvelope(envelope, 1_000_000).payload).toString()) };
}
const policiesOf = async (sha256: string): Promise<string[]> => (JSON.parse(Buffer.from((await fleet.desk.blob(fleet.context.tenantId, sha256))!).toString()) as { policies: { name: string }[] }).policies.map(({ name }) => name);

describe('a policy revision staged as shadow', () => {
  it('is sealed beside the live one, and can be fetched', async () => {
    const { manifest, rollout } = await rollOut({ policyRevision: first, shadowPolicyRevision: second });
    expect(rollout).toMatchObject({ policyRevision: first, shadowPolicyRevision: second });
    expect(manifest.policy.revision).toBe(String(first));
    expect(manifest.shadow_policy?.revision).toBe(String(second));
    expect(await policiesOf(manifest.policy.sha256)).toEqual(['first']);
    expect(await policiesOf(manifest.shadow_policy!.sha256)).toEqual(['first', 'second']);
  });

  it('makes other content of the same live revision, and comes back with a rollback', async () => {
    const before = await rollOut({ policyRevision: first, shadowPolicyRevision: second });
    const plain = await rollOut({ policyRevision: first });
    expect(plain.manifest.shadow_policy).toBeUndefined();
    expect(plain.manifest['content_digest']).not.toBe(before.manifest['content_digest']);
    expect(plain.rollout.bundleId).not.toBe(before.rollout.bundleId);
    const undo = await fleet.steer.execute(fleet.context, fleet.clusterId, plain.rollout.id, 'roll-back');
    const back = await obey(undo.id);
    expect(back.manifest['content_digest']).toBe(before.manifest['content_digest']);
    expect(back.manifest.shadow_policy?.revision).toBe(String(second));
  });

  it('is refused when there is no such revision', async () => {
    await expect(fleet.createRollout.execute(fleet.context, { clusterId: fleet.clusterId, shadowPolicyRevision: 99 })).rejects.toMatchObject({ code: 'request.invalid' });
  });
});

describe('a policy in mode shadow', () => {
  it('brings the live set along as shadow, in which it counts as enforced', async () => {
    const revision = await fleet.apply(policy('third', 'shadow'));
    const { manifest } = await rollOut({ policyRevision: revision });
    expect(manifest.shadow_policy).toEqual(manifest.policy);
  });

  it('in mode observe asks for no shadow: it audits in the live set', async () => {
    const revision = await fleet.apply(policy('third', 'observe'));
    expect((await rollOut({ policyRevision: revision })).manifest.shadow_policy).toBeUndefined();
  });
});
