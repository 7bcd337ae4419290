import { describe, expect, it } from 'vitest';
import { AskedNames } from './asked-names.ts';
import { enrichFlow, isSecondSighting, monotonicToWallUs } from './enrich-flow.ts';
import { FlowNames } from './flow-names.ts';
import { dnsEvent, kernelEvent, KNOWLEDGE } from './testing/kernel-events.ts';

const names = new FlowNames(KNOWLEDGE);
const NOBODY_ASKED = new AskedNames();

describe('naming a kernel event', () => {
  it('names both ends, the deciding rule and what the verdict was taken under', () => {
    const flow = enrichFlow(kernelEvent(), names, monotonicToWallUs(), NOBODY_ASKED);
    expect(flow).toMatchObject({
      source: { namespace: 'shop', workload: 'frontend-a', identity: 1001, labels: ['k8s:app=frontend'], port: 40_000, cluster: 'demo', node: 'node-a' },
      destination: { workload: 'backend-b', identity: 1002, port: 8080 },
      interface: 'vethfa',
      policies: [{ kind: 'CiliumNetworkPolicy', name: 'frontend', revision: 3, direction: 'egress', index: 0 }],
      generation: '1.4', policyRevision: 3, identityRevision: 5, packets: 3, replyBytes: 200,
    });
    expect(Math.abs(flow.lastSeenUs - Date.now() * 1000)).toBeLessThan(2_000_000);
    expect(flow.lastSeenUs - flow.firstSeenUs).toBeGreaterThanOrEqual(1_999_000);
  });

  it('names the policies that select the endpoint on a default deny', () => {
    const flow = enrichFlow(kernelEvent({ event: 'dropped', verdict: 'dropped', dropReason: 1, ruleId: 12 }), names, 0, NOBODY_ASKED);
    expect(flow.dropReason).toBe('policy-denied');
    expect(flow.policies).toHaveLength(1);
    expect(flow.policies[0]).not.toHaveProperty('index');
  });

  it('puts the local end on the side the direction says', () => {
    const flow = enrichFlow(kernelEvent({ endpointSlot: 2, direction: 'ingress', peerIdentity: 1001 }), names, 0, NOBODY_ASKED);
    expect([flow.source.workload, flow.destination.workload]).toEqual(['frontend-a', 'backend-b']);
  });

  it('keeps the identity that the kernel decided on when the address has moved on', () => {
    const flow = enrichFlow(kernelEvent({ peerIdentity: 1001 }), names, 0, NOBODY_ASKED);
    expect(flow.destination).toMatchObject({ identity: 1001, labels: ['k8s:app=frontend'] });
    expect(flow.destination.workload).toBeUndefined();
  });

  it('calls an outside address by its reserved identity', () => {
    expect(enrichFlow(kernelEvent({ destination: '192.0.2.1', peerIdentity: 2 }), names, 0, NOBODY_ASKED).destination).toMatchObject({ identity: 2, labels: ['reserved:world'] });
  });

  it('still explains rules of the policy before', () => {
    const next = new FlowNames({ ...KNOWLEDGE, resolved: { ...(KNOWLEDGE.resolved as NonNullable<typeof KNOWLEDGE.resolved>), rules: {} } }, names);
    expect(enrichFlow(kernelEvent(), next, 0, NOBODY_ASKED).policies).toHaveLength(1);
  });

  it('puts the names that the workload was told on outside ends, and on nobody else’s', () => {
    const asked = new AskedNames();
    asked.learn(dnsEvent('api.example.com', ['192.0.2.1']));
    asked.learn(dnsEvent('www.example.com', ['192.0.2.1']));
    const outside = kernelEvent({ destination: '192.0.2.1', peerIdentity: 2 });
    expect(enrichFlow(outside, names, 0, asked).destination).toMatchObject({ identity: 2, dnsNames: ['www.example.com', 'api.example.com'] });
    expect(enrichFlow({ ...outside, endpointSlot: 2 }, names, 0, asked).destination).not.toHaveProperty('dnsNames');
    expect(enrichFlow({ ...outside, lastSeenNs: outside.lastSeenNs + 4_000_000_000_000n }, names, 0, asked).destination).not.toHaveProperty('dnsNames');
  });

  it('tells a DNS answer, the same whatever order its addresses have', () => {
    const [one, other] = [['192.0.2.2', '192.0.2.1'], ['192.0.2.1', '192.0.2.2']].map((addresses) => enrichFlow(dnsEvent('api.example.com', addresses), names, 0, NOBODY_ASKED));
    expect(one).toMatchObject({ event: 'dns', dns: { query: 'api.example.com', addresses: ['192.0.2.1', '192.0.2.2'], rcode: 0, latencyUs: 250 } });
    expect(other?.dns).toEqual(one?.dns);
  });

  it('puts the question on the denial of its datagram', () => {
    const asked = new AskedNames();
    const question = dnsEvent('evil.test', [], 'refused');
    asked.learn(question);
    const { source, sourcePort } = question;
    const denial = kernelEvent({ event: 'dropped', verdict: 'dropped', protocol: 17, source, sourcePort, destinationPort: 53 });
    expect(enrichFlow(denial, names, 0, asked).dns).toEqual({ query: 'evil.test', addresses: [], rcode: 5 });
    expect(enrichFlow({ ...denial, sourcePort: sourcePort + 1 }, names, 0, asked)).not.toHaveProperty('dns');
  });

  it('names a local end by its key before any facts have come', () => {
    const bare = new FlowNames({ nodeName: 'node-a', endpoints: KNOWLEDGE.endpoints, generation: '' });
    expect(enrichFlow(kernelEvent(), bare, 0, NOBODY_ASKED).source).toMatchObject({ namespace: 'shop', workload: 'frontend-a', labels: ['reserved:init'] });
  });
});

describe('sightings at both ends', () => {
  it('counts a connection at its source only', () => {
    expect(isSecondSighting(kernelEvent({ endpointSlot: 2, direction: 'ingress' }), names)).toBe(true);
    expect(isSecondSighting(kernelEvent(), names)).toBe(false);
  });

  it('keeps the beginning of a connection, drops and outside sources at the destination', () => {
    const ingress = { endpointSlot: 2, direction: 'ingress' } as const;
    expect(isSecondSighting(kernelEvent({ ...ingress, event: 'new' }), names)).toBe(false);
    expect(isSecondSighting(kernelEvent({ ...ingress, event: 'dropped', verdict: 'dropped' }), names)).toBe(false);
    expect(isSecondSighting(kernelEvent({ ...ingress, source: '192.0.2.1' }), names)).toBe(false);
  });
});
