import { localSigner, parseEnvelope, sealEndpointReport, type ReportedEndpoint } from '@palisade/bundle';
import type { ClusterFacts, FactsIncrement } from '@palisade/policy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newKey, startFleet, type FleetUnderTest, type TestNode } from '../testing/fleet-under-test.ts';

let fleet: FleetUnderTest;
let one: TestNode;
let two: TestNode;
beforeAll(async () => {
  fleet = await startFleet();
  [one, two] = (await fleet.nodes(2)) as [TestNode, TestNode];
});
afterAll(() => fleet.close());

const endpoint = (name: string, address: string, change: Partial<ReportedEndpoint> = {}): ReportedEndpoint => ({
  key: `pod/shop/${name}`, namespace: 'shop', name, labels: { app: name }, namespaceLabels: { team: 'a' }, network: 'default', addresses: [address], namedPorts: {}, hostNetwork: false, ...change,
});
let sequence = 0;
async function report(node: TestNode, endpoints: ReportedEndpoint[], key = node.key, nodeId = node.nodeId): Promise<void> {
  const envelope = await sealEndpointReport({ nodeId, bootId: 'boot', boot: 1, sequence: (sequence += 1), endpoints, services: [] }, localSigner(key));
  await fleet.checkIn(node.nodeId, {}, { endpointReport: envelope });
  await fleet.reports.execute(fleet.context, fleet.clusterId);
}
const payloads = async (since: number): Promise<{ kind: string; identity_revision: string; previous_revision?: string; content: unknown }[]> => {
  const { envelopes } = await fleet.desk.identities(fleet.context.tenantId, fleet.clusterId, since, 1_000_000);
  return envelopes.map((bytes) => {
    const envelope = parseEnvelope(bytes, 1_000_000);
    return { kind: envelope.payloadType.includes('snapshot') ? 'snapshot' : 'increment', ...JSON.parse(Buffer.from(envelope.payload).toString()) };
  });
};
const head = () => fleet.desk.identityRevision(fleet.context.tenantId, fleet.clusterId);
const problems = async (node: TestNode): Promise<string[]> => (await fleet.admin<{ problems: string[] }>('SELECT problems FROM palisade.endpoint_report_results WHERE node_id = $1', [node.nodeId]))[0]?.problems ?? [];
const addressesOf = async (key: string): Promise<string[]> => (await fleet.admin<{ fact: { addresses: string[] } }>('SELECT fact FROM palisade.workloads WHERE key = $1', [key]))[0]?.fact.addresses ?? [];

describe('the identity stream', () => {
  it('starts with a snapshot and goes on with increments that name their predecessor', async () => {
    await report(one, [endpoint('web', '10.0.0.1')]);
    const [snapshot] = await payloads(0);
    expect(snapshot?.kind).toBe('snapshot');
    const facts = snapshot?.content as ClusterFacts;
    expect(facts.nodes.map((node) => node.name)).toEqual(['n0', 'n1']);
    expect(facts.identities[0]).toMatchObject({ id: 256, labels: { 'k8s:app': 'web', 'k8s:io.kubernetes.pod.namespace': 'shop', 'k8s:io.cilium.k8s.namespace.labels.team': 'a', 'k8s:io.cilium.k8s.policy.cluster': 'prod' } });
    const at = await head();
    await report(one, [endpoint('web', '10.0.0.1'), endpoint('db', '10.0.0.2')]);
    const [increment] = await payloads(at);
    expect(increment).toMatchObject({ kind: 'increment', previous_revision: String(at), identity_revision: String(at + 1) });
    expect((increment!.content as FactsIncrement).workloads.upserted.map((workload) => workload.key)).toEqual(['pod/shop/db']);
  });

  it('says nothing when a report changes nothing', async () => {
    const at = await head();
    await report(one, [endpoint('web', '10.0.0.1'), endpoint('db', '10.0.0.2')]);
    expect(await head()).toBe(at);
  });

  it('gives equal labels one number in the tenant and never gives a number twice', async () => {
    await report(one, [endpoint('web', '10.0.0.1'), endpoint('web-2', '10.0.0.3', { labels: { app: 'web' } })]);
    const ids = await fleet.admin<{ key: string; identity_id: string }>('SELECT key, identity_id FROM palisade.workloads ORDER BY key');
    expect(new Set(ids.map((row) => row.identity_id)).size).toBe(1);
    const used = ids[0]?.identity_id;
    await report(one, []);
    await report(one, [endpoint('fresh', '10.0.0.4')]);
    expect((await fleet.admin<{ identity_id: string }>('SELECT identity_id FROM palisade.workloads'))[0]?.identity_id).not.toBe(used);
  });

  it('answers a gap with a snapshot', async () => {
    expect((await payloads(999_999))[0]?.kind).toBe('snapshot');
  });
});

describe('an endpoint report', () => {
  it('is not believed unless the enrolled key signed it', async () => {
    const at = await head();
    await report(one, [endpoint('forged', '10.0.0.9')], newKey());
    expect(await head()).toBe(at);
    expect(await fleet.auditOf('endpoint-report.refused')).toHaveLength(1);
    await report(one, [endpoint('forged', '10.0.0.9')], one.key, two.nodeId);
    expect(await head()).toBe(at);
  });

  it('that a gateway brings again, after a newer one, changes nothing', async () => {
    const seal = (endpoints: ReportedEndpoint[]) => sealEndpointReport({ nodeId: one.nodeId, bootId: 'boot', boot: 1, sequence: (sequence += 1), endpoints, services: [] }, localSigner(one.key));
    const old = await seal([endpoint('old', '10.0.9.1')]);
    const bring = async (envelope: Uint8Array) => {
      await fleet.checkIn(one.nodeId, {}, { endpointReport: envelope });
      await fleet.reports.execute(fleet.context, fleet.clusterId);
    };
    await bring(old);
    await bring(await seal([endpoint('new', '10.0.9.2')]));
    const at = await head();
    await bring(old);
    expect(await head()).toBe(at);
    expect(await problems(one)).toEqual([expect.stringContaining('brought again')]);
    expect(await addressesOf('pod/shop/new')).toEqual(['10.0.9.2']);
    expect(await addressesOf('pod/shop/old')).toEqual([]);
  });

  it('cannot name a label source that is not the node’s to give', async () => {
    await report(one, [endpoint('sly', '10.0.0.9', { labels: { 'reserved:host': '' } })]);
    expect(await addressesOf('pod/shop/sly')).toEqual([]);
    expect((await problems(one))[0]).toContain('names a source');
  });

  it('binds only addresses inside the ranges of the node', async () => {
    await fleet.admin("UPDATE palisade.nodes SET address_ranges = '{10.1.0.0/16}' WHERE id = $1", [one.nodeId]);
    await report(one, [endpoint('in', '10.1.2.3'), endpoint('out', '10.2.0.1')]);
    expect(await addressesOf('pod/shop/in')).toEqual(['10.1.2.3']);
    expect(await addressesOf('pod/shop/out')).toEqual([]);
    expect((await problems(one)).join()).toContain('10.2.0.1 is outside the ranges of node n0');
    await fleet.admin('UPDATE palisade.nodes SET address_ranges = NULL WHERE id = $1', [one.nodeId]);
  });

  it('that claims an address of another node binds it to neither, until one lets go', async () => {
    await report(one, [endpoint('mine', '10.0.5.1')]);
    await report(two, [endpoint('thief', '10.0.5.1')]);
    expect([await addressesOf('pod/shop/mine'), await addressesOf('pod/shop/thief')]).toEqual([[], []]);
    expect((await problems(two)).join()).toContain('bound to neither');
    await report(two, []);
    expect(await addressesOf('pod/shop/mine')).toEqual(['10.0.5.1']);
  });

  it('may name the same address in another network', async () => {
    await report(one, [endpoint('mine', '10.0.5.1')]);
    await report(two, [endpoint('elsewhere', '10.0.5.1', { network: 'vpc-b' })]);
    expect(await addressesOf('pod/shop/mine')).toEqual(['10.0.5.1']);
    expect(await addressesOf('pod/shop/elsewhere')).toEqual(['10.0.5.1']);
  });

  it('cannot take over a workload of another node', async () => {
    await report(two, [endpoint('mine', '10.0.6.1')]);
    expect((await problems(two)).join()).toContain('also reported by another node');
  });

  it('of a revoked node is forgotten with the node', async () => {
    const at = await head();
    await fleet.admin("UPDATE palisade.nodes SET state = 'revoked' WHERE id = $1", [one.nodeId]);
    await fleet.reports.execute(fleet.context, fleet.clusterId);
    const [increment] = await payloads(at);
    expect(increment?.content).toMatchObject({ workloads: { removed: ['pod/shop/mine'] }, nodes: { removed: ['n0'] } });
  });
});
