import { columnsOf, type FlowBatch, type FlowEnd, type FlowRecord } from '@palisade/flow';
import type { SentFlowBatch } from '@palisade/control';
import type { TenantId } from '@palisade/tenancy';

export const FRONTEND: FlowEnd = {
  address: '10.77.1.10', port: 40_000, identity: 1001, labels: ['k8s:app=frontend', 'k8s:tier=web'], namespace: 'shop', workload: 'frontend-a', cluster: 'demo', node: 'node-a',
};
export const BACKEND: FlowEnd = {
  address: '10.77.2.11', port: 8080, identity: 1002, labels: ['k8s:app=backend'], namespace: 'shop', workload: 'backend-b', cluster: 'demo', node: 'node-b',
};
export const DATABASE: FlowEnd = { address: '10.77.2.12', port: 5432, identity: 1003, labels: ['k8s:app=db'], namespace: 'data', workload: 'db-b', cluster: 'demo', node: 'node-b' };
export const WORLD: FlowEnd = { address: '2001:db8::1', port: 443, identity: 2, labels: ['reserved:world'], dnsNames: ['api.example.com'] };

/** A flow that was seen at `lastSeenUs`, with anything else changed as asked. */
export function sampleFlow(lastSeenUs: number, over: Partial<FlowRecord> = {}): FlowRecord {
  return {
    event: 'delta', source: FRONTEND, destination: BACKEND, protocol: 6, direction: 'egress', node: 'node-a', interface: 'vethfa', verdict: 'forwarded',
    policies: [{ kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'frontend', revision: 3, direction: 'egress', index: 0 }],
    isReply: false, packets: 10, bytes: 1500, replyPackets: 8, replyBytes: 9000, firstSeenUs: lastSeenUs - 2_000_000, lastSeenUs, tcpFlags: 0x18,
    generation: '1.4', policyRevision: 3, identityRevision: 17, origin: 'ebpf', weight: 1, ...over,
  };
}

export function droppedFlow(lastSeenUs: number, over: Partial<FlowRecord> = {}): FlowRecord {
  return sampleFlow(lastSeenUs, {
    event: 'dropped', verdict: 'dropped', dropReason: 'policy-denied', destination: DATABASE, replyPackets: 0, replyBytes: 0,
    policies: [{ kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'frontend', revision: 3, direction: 'egress' }], ...over,
  });
}

/** One of everything, a second apart, oldest first. */
export function mixedFlows(startUs: number): FlowRecord[] {
  const at = (index: number): number => startUs + index * 1_000_000;
  return [
    sampleFlow(at(0)),
    droppedFlow(at(1)),
    sampleFlow(at(2), { source: BACKEND, destination: DATABASE, direction: 'ingress', node: 'node-b', interface: 'vethdb', isReply: true }),
    sampleFlow(at(3), { destination: WORLD, protocol: 17, rttUs: 350, process: { binary: '/usr/bin/curl', pid: 4711, uid: 1000, container: 'c1' } }),
    sampleFlow(at(4), { event: 'l7', http: { method: 'GET', path: '/cart/{id}', status: 503, latencyUs: 1200 } }),
    sampleFlow(at(5), { event: 'dns', protocol: 17, destination: { ...WORLD, port: 53 }, dns: { query: 'api.example.com', addresses: ['2001:db8::1'], rcode: 0, latencyUs: 900 } }),
    droppedFlow(at(6), { verdict: 'audit', shadowVerdict: 'forwarded', dropReason: 'policy-denied-by-rule', policies: [] }),
    sampleFlow(at(7), { event: 'closed', weight: 4, bytes: 2 ** 40, packets: 2 ** 33 }),
    sampleFlow(at(8), { event: 'shadow', shadowVerdict: 'dropped', source: { ...FRONTEND, workload: 'frontend_b', address: '10.77.1.20' } }),
  ];
}

export function sent(sender: { tenantId: TenantId; clusterId: string; nodeId: string }, bootId: string, seq: number, flows: readonly FlowRecord[], over: Partial<FlowBatch> = {}): SentFlowBatch {
  return {
    sender,
    batch: {
      bootId, seq, windowStartUs: flows[0]?.lastSeenUs ?? 1, windowEndUs: flows.at(-1)?.lastSeenUs ?? 1,
      account: { seen: flows.length, exported: flows.length, sampled: 0, dropped: {} }, columns: columnsOf(flows), ...over,
    },
  };
}
