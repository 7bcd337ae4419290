import { FlowEventList, type KernelFlowBatch, type KernelFlowEvent, type LocalEndpoint } from '@palisade/dataplane';
import type { ClusterFacts, ResolvedNode } from '@palisade/policy';
import type { FlowKnowledge } from '../flow-names.ts';

export function kernelEvent(over: Partial<KernelFlowEvent> = {}): KernelFlowEvent {
  return {
    event: 'delta', ifindex: 7, endpointSlot: 1, direction: 'egress', source: '10.0.0.1', destination: '10.0.0.2', sourcePort: 40_000, destinationPort: 8080,
    protocol: 6, peerIdentity: 1002, verdict: 'forwarded', dropReason: 0, ruleId: 11, isReply: false, packets: 3n, bytes: 300n, replyPackets: 2n, replyBytes: 200n,
    firstSeenNs: process.hrtime.bigint() - 2_000_000_000n, lastSeenNs: process.hrtime.bigint(), tcpFlags: 0x18, rttUs: 0, datapathGeneration: 1, pid: 0, uid: 0, command: '', ...over,
  };
}

/** What the endpoint in slot 1 was told about `name`, or was kept from asking. */
export function dnsEvent(name: string, addresses: readonly string[], kind: 'answer' | 'refused' = 'answer'): KernelFlowEvent {
  const message = { name, type: 1, rcode: 0, addresses: addresses.map((address) => ({ address, ttlSeconds: 60 })) };
  return kernelEvent({ event: 'dns', protocol: 17, destination: '10.96.0.10', destinationPort: 53, packets: 0n, bytes: 0n, replyPackets: 0n, replyBytes: 0n, dns: { kind, message, latencyUs: 250 } });
}

const facts: ClusterFacts = {
  clusterName: 'demo', identityRevision: 5, hostFirewall: false, nodes: [], services: [], cidrGroups: [],
  identities: [{ id: 1001, labels: { 'k8s:app': 'frontend' } }, { id: 1002, labels: { 'k8s:app': 'backend' } }],
  workloads: [
    { key: 'pod/shop/frontend-a', namespace: 'shop', name: 'frontend-a', identity: 1001, network: 'default', addresses: ['10.0.0.1'], node: 'node-a' },
    { key: 'pod/shop/backend-b', namespace: 'shop', name: 'backend-b', identity: 1002, network: 'default', addresses: ['10.0.0.2'], node: 'node-b' },
  ],
};

const endpoints: readonly LocalEndpoint[] = [
  { key: 'pod/shop/frontend-a', slot: 1, attach: { kind: 'interface', ifname: 'vethfa' }, network: 'default', addresses: ['10.0.0.1'] },
  { key: 'pod/shop/backend-b', slot: 2, attach: { kind: 'interface', ifname: 'vethbb' }, network: 'default', addresses: ['10.0.0.2'] },
];

const resolved: ResolvedNode = {
  node: 'node-a', policyRevision: 3, identityRevision: 5, endpoints: [], addresses: [], fqdn: { selectors: [], classes: [] }, l7Rules: [], digest: 'd',
  rules: {
    11: { ruleId: 11, kind: 'rule', direction: 'egress', policies: [{ kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'frontend', revision: 3, index: 0 }] },
    12: { ruleId: 12, kind: 'default-deny', direction: 'egress', policies: [{ kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'frontend', revision: 3 }] },
  },
};

export const KNOWLEDGE: FlowKnowledge = { nodeName: 'node-a', endpoints, facts, resolved, generation: '1.4' };

/** Gives out what it was given, and counts losses as told. */
export class ScriptedEvents {
  readonly waiting: KernelFlowEvent[] = [];
  lost = { ringFull: 0n, evicted: 0n };

  drainBatches(limit: number): Promise<readonly KernelFlowBatch[]> {
    return Promise.resolve([new FlowEventList(this.waiting.splice(0, limit))]);
  }

  losses(): Promise<{ ringFull: bigint; evicted: bigint }> {
    return Promise.resolve(this.lost);
  }
}
