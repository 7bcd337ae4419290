import { randomUUID } from 'node:crypto';
import { localSigner, sealEndpointReport } from '@palisade/bundle';
import type { ValidationReport } from '@palisade/control';
import { columnsOf, type FlowRecord } from '@palisade/flow';
import { PostgresFlowSink } from '@palisade/flow-store';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFleet, type FleetUnderTest, type TestNode } from '../testing/fleet-under-test.ts';

let fleet: FleetUnderTest;
let node: TestNode;
beforeAll(async () => {
  fleet = await startFleet();
  [node] = (await fleet.nodes(1)) as [TestNode];
  const endpoints = [['web', '10.0.0.1'], ['db', '10.0.0.2']].map(([name = '', address = '']) => ({
    key: `pod/shop/${name}`, namespace: 'shop', name, labels: { app: name }, namespaceLabels: {}, network: 'default', addresses: [address], namedPorts: {}, hostNetwork: false,
  }));
  const envelope = await sealEndpointReport({ nodeId: node.nodeId, bootId: 'b', boot: 1, sequence: 1, endpoints, services: [] }, localSigner(node.key));
  await fleet.checkIn(node.nodeId, {}, { endpointReport: envelope });
  await fleet.reports.execute(fleet.context, fleet.clusterId);
  await fleet.admin("SELECT palisade.flow_ensure_partitions((now() - interval '1 day')::date, (now() + interval '1 day')::date)");
  await record(
    ...[5432, 5432, 9090].map((port) => flow(port, {})),
    flow(6379, { event: 'dropped', verdict: 'dropped', dropReason: 'policy-denied' }),
    flow(7000, { event: 'dropped', verdict: 'dropped', dropReason: 'invalid-packet' }),
    flow(40_000, { isReply: true }),
  );
});
afterAll(() => fleet.close());

function flow(port: number, change: Partial<FlowRecord>): FlowRecord {
  const end = (name: string, address: string, at: number) => ({ address, port: at, identity: 256, labels: [`k8s:app=${name}`], namespace: 'shop', workload: name, node: 'n0' });
  const lastSeenUs = Date.now() * 1000 - 60_000_000;
  return {
    event: 'new', source: end('web', '10.0.0.1', 40_000), destination: end('db', '10.0.0.2', port), protocol: 6, direction: 'ingress', node: 'n0', verdict: 'forwarded', policies: [],
    isReply: false, packets: 1, bytes: 60, replyPackets: 0, replyBytes: 0, firstSeenUs: lastSeenUs, lastSeenUs, tcpFlags: 2, generation: '1.1', policyRevision: 0, identityRevision: 1, origin: 'ebpf', weight: 1, ...change,
  };
}

async function record(...flows: FlowRecord[]): Promise<void> {
  const pool = new pg.Pool({ connectionString: fleet.database.ingestUrl, max: 1 });
  const [outcome] = await new PostgresFlowSink(pool).append([
    {
      sender: { tenantId: fleet.context.tenantId, clusterId: fleet.clusterId, nodeId: node.nodeId },
      batch: { bootId: randomUUID(), seq: 1, windowStartUs: 1, windowEndUs: 2, account: { seen: flows.length, exported: flows.length, sampled: 0, dropped: {} }, columns: columnsOf(flows) },
    },
  ]);
  await pool.end();
  expect(outcome).toMatchObject({ kind: 'stored' });
}

const policy = (port: number, mode: string) => `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: db, namespace: shop, annotations: { palisade.io/mode: ${mode} } }
spec:
  endpointSelector: { matchLabels: { app: db } }
  ingress: [{ fromEndpoints: [{ matchLabels: { app: web } }], toPorts: [{ ports: [{ port: "${port}", protocol: TCP }, { port: "6379", protocol: TCP }] }] }]
`;

async function validated(text: string): Promise<{ report: ValidationReport; state: string }> {
  const policyRevision = await fleet.apply(text);
  const { id } = await fleet.createRollout.execute(fleet.context, { clusterId: fleet.clusterId, policyRevision, supersede: true });
  await fleet.advance.execute(fleet.context, id);
  return fleet.unitOfWork.run(fleet.context, async ({ rollouts }) => ({ report: (await rollouts.validation(id))!, state: (await rollouts.find(id))!.state }));
}

describe('VALIDATING', () => {
  it('replays recorded flows and reports newly denied and newly allowed edges', async () => {
    const { report, state } = await validated(policy(5432, 'enforce'));
    expect(state).toBe('running');
    expect(report.replay).toMatchObject({
      outcome: 'replayed', complete: true, flows: 4, unchanged: 2, unresolved: 0, further: 0,
      newlyDenied: [{ source: 'pod/shop/web', destination: 'pod/shop/db', direction: 'ingress', protocol: 'TCP', port: 9090, before: 'allow', after: 'deny', flows: 1, policies: ['CiliumNetworkPolicy shop/db'] }],
      newlyAllowed: [{ port: 6379, before: 'deny', after: 'allow' }],
    });
  });

  it('replays as the candidate would decide: a policy in mode observe denies nothing', async () => {
    const { report } = await validated(policy(5432, 'observe'));
    expect(report.replay).toMatchObject({ outcome: 'replayed', newlyDenied: [] });
  });

  it('compares the resolved tables with the evaluator and computes what the maps hold', async () => {
    const { report } = await validated(policy(5432, 'enforce'));
    expect(report.evaluator).toMatchObject({ nodes: 1, differences: [] });
    expect(report.evaluator.tuples).toBeGreaterThan(300);
    expect(report.capacity).toMatchObject({ clusterNodes: 1, checkedNodes: 1, fullest: [{ node: 'n0', endpoints: 2, policyEntries: expect.any(Number) }] });
  });

  it('refuses a node that would hold more endpoints than its maps, before any node sees the candidate', async () => {
    await fleet.admin(
      `INSERT INTO palisade.workloads (tenant_id, cluster_id, key, node_id, identity_id, network, addresses, fact)
       SELECT tenant_id, cluster_id, 'pod/many/' || i, node_id, identity_id, 'default', ARRAY['10.9.' || i / 250 || '.' || i % 250],
              jsonb_build_object('key', 'pod/many/' || i, 'namespace', 'many', 'name', i::text, 'identity', identity_id, 'network', 'default', 'addresses', jsonb_build_array('10.9.' || i / 250 || '.' || i % 250), 'node', 'n0')
       FROM palisade.workloads, generate_series(1, 4095) AS i WHERE key = 'pod/shop/web'`,
    );
    const { state } = await validated(policy(5432, 'enforce'));
    await fleet.admin("DELETE FROM palisade.workloads WHERE key LIKE 'pod/many/%'");
    expect(state).toBe('halted');
    const [row] = await fleet.admin<{ reason: string; offered: string }>('SELECT reason, (SELECT count(*) FROM palisade.rollout_nodes n WHERE n.rollout_id = r.id) AS offered FROM palisade.rollouts r ORDER BY id DESC LIMIT 1');
    expect(row).toMatchObject({ reason: expect.stringContaining('its maps hold 4096'), offered: '0' });
  }, 120_000);
});
