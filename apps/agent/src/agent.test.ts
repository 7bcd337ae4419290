import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DomainError } from '@palisade/errors';
import { NodeBundleState } from '@palisade/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { unsupportedEnforcer } from './enforcer-of-this-kernel.ts';
import { startAgent, type AgentSetup, type RunningAgent } from './testing/running-agent.ts';
import { EMPTY_FACTS, TestControlPlane } from './testing/test-control-plane.ts';

let plane: TestControlPlane;
const agents: RunningAgent[] = [];

beforeEach(async () => {
  plane = await TestControlPlane.start();
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.remove();
  await plane.stop();
});

function start(setup: Partial<AgentSetup> = {}): RunningAgent {
  const agent = startAgent({ plane, ...setup });
  agents.push(agent);
  return agent;
}

const until = <T>(check: () => T) => vi.waitFor(check, { timeout: 4_500, interval: 10 });
const reported = (state: NodeBundleState) => until(() => expect(plane.last?.observed?.state).toBe(state));

const enrolled = () => until(() => expect(plane.checkIns.length).toBeGreaterThan(0));

const ENDPOINT = { key: 'pod/shop/web-1', namespace: 'shop', name: 'web-1', labels: { app: 'web' }, addresses: ['10.1.0.2'], attach: { kind: 'interface', ifname: 'vethweb' } };

describe('a new node', () => {
  it('enrolls, loads what is offered, and reports the digest that runs', async () => {
    const agent = start({ endpoints: { endpoints: [ENDPOINT] } });
    await reported(NodeBundleState.NONE);
    const bundle = await plane.offer('1.1');
    await reported(NodeBundleState.HEALTHY);
    expect(plane.last?.observed).toMatchObject({ contentDigest: bundle.contentDigest, generation: { epoch: 1n, n: 1n }, endpointsProtected: 1 });
    expect(agent.kernel.state?.contentDigest).toBe(bundle.contentDigest);
    expect(agent.state.ledger().current?.generation).toBe('1.1');
  });

  it('reports its endpoints signed with its key, and again when they change', async () => {
    const agent = start({ endpoints: { endpoints: [ENDPOINT] } });
    await until(() => expect(plane.endpointReport?.endpoints.map(({ key }) => key)).toEqual(['pod/shop/web-1']));
    writeFileSync(join(agent.dir, 'endpoints.json'), JSON.stringify({ endpoints: [ENDPOINT, { ...ENDPOINT, key: 'pod/shop/web-2', name: 'web-2', addresses: ['10.1.0.3'] }] }));
    await until(() => expect(plane.endpointReport?.endpoints).toHaveLength(2));
  });

  it('sends its token to nobody who does not match the pin', async () => {
    const agent = start({ pin: `sha256:${'0'.repeat(64)}` });
    await expect(agent.done).rejects.toMatchObject({ code: 'trust-pin-mismatch' });
    expect(plane.tokensSeen).toEqual([]);
    expect(plane.paths).toEqual(['GET /agent/v1/metadata/root?version=1']);
  });

  it('does not send its token to a gateway whose certificate the pinned root does not vouch for', async () => {
    const { pin, metadata } = plane;
    const impostor = await TestControlPlane.start();
    impostor.metadata.set('root.1', metadata.get('root.1') as Uint8Array);
    const agent = start({ plane: { url: impostor.url, pin, token: plane.token } });
    await until(() => expect(agent.log.join('')).toMatch(/cannot join yet/));
    expect(impostor.tokensSeen).toEqual([]);
    await impostor.stop();
  });

  it('ends with a sentence when the token is refused', async () => {
    const agent = start({ plane: { url: plane.url, pin: plane.pin, token: 'enr_wrong.secret' } });
    await expect(agent.done).rejects.toMatchObject({ status: 401, code: 'auth.unauthenticated' });
  });

  it('is the same node when the answer to its first enrollment was lost', async () => {
    plane.loseAnswerTo = '/agent/v1/enroll';
    const agent = start();
    await until(() => expect(plane.checkIns.length).toBeGreaterThan(0));
    expect(plane.enrollments.size).toBe(1);
    expect(plane.tokensSeen).toHaveLength(2);
    expect(agent.state.node()?.nodeId).toBe('node-1');
  });
});

describe('a kernel that cannot enforce', () => {
  it('is enrolled and reported as what it is: nothing protected, the bundle failed with the reason', async () => {
    start({ enforcer: unsupportedEnforcer('This kernel has no BTF.'), endpoints: { endpoints: [ENDPOINT] } });
    await enrolled();
    await plane.offer('1.1');
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.FAILED, contentDigest: '', endpointsProtected: 0, endpointsUnprotected: 1, reason: 'kernel.unsupported: This kernel has no BTF.' }));
  });
});

describe('identities', () => {
  const workload = (key: string) => ({ key, namespace: 'shop', name: key, identity: 300, network: 'default', addresses: ['10.9.0.1'], node: 'node-b' });
  const none = { upserted: [], removed: [] };

  it('are followed without a new bundle', async () => {
    const agent = start();
    await enrolled();
    await plane.offer('1.1');
    await until(() => expect(agent.kernel.state?.resolved.identityRevision).toBe(1));
    await plane.publishIncrement({ identityRevision: 2, previousRevision: 1, identities: none, workloads: { upserted: [workload('pod/x')], removed: [] }, nodes: none, services: none, cidrGroups: none });
    await until(() => expect(agent.kernel.state?.resolved.identityRevision).toBe(2));
    expect(agent.state.facts()?.facts.workloads).toHaveLength(1);
  });

  it('that cannot be applied are tried again, and said, while the old state keeps enforcing', async () => {
    const agent = start();
    await enrolled();
    const { contentDigest } = await plane.offer('1.1');
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, identityRevision: 1n }));
    agent.kernel.failures.set(contentDigest, new DomainError('kernel.map-full', 'The map is full.'));
    await plane.publishFacts({ ...EMPTY_FACTS, identityRevision: 2 });
    await until(() => expect(plane.last?.observed).toMatchObject({ identityRevision: 1n, reason: expect.stringContaining('kernel.map-full') as string }));
    agent.kernel.failures.clear();
    await until(() => expect(plane.last?.observed).toMatchObject({ identityRevision: 2n, reason: '' }));
  });

  it('are asked for as a whole when an increment is missing', async () => {
    const agent = start();
    await enrolled();
    await plane.offer('1.1');
    await until(() => expect(agent.kernel.state?.resolved.identityRevision).toBe(1));
    await plane.publishFacts({ ...EMPTY_FACTS, identityRevision: 5 });
    await plane.publishIncrement({ identityRevision: 6, previousRevision: 5, identities: none, workloads: none, nodes: none, services: none, cidrGroups: none });
    await until(() => expect(agent.kernel.state?.resolved.identityRevision).toBe(6));
    expect(plane.paths.filter((path) => path === 'GET /agent/v1/identities').length).toBeGreaterThan(1);
  });

  it('hold a bundle back until the revision that it needs has arrived', async () => {
    const agent = start();
    await until(() => expect(plane.checkIns.length).toBeGreaterThan(0));
    await plane.offer('1.1', { minimumIdentityRevision: 3 });
    await reported(NodeBundleState.VERIFIED);
    expect(agent.kernel.state).toBeUndefined();
    await plane.publishFacts({ ...EMPTY_FACTS, identityRevision: 3 });
    await reported(NodeBundleState.HEALTHY);
  });
});

describe('without a control plane', () => {
  it('a restarted agent adopts its bundle and keeps it, and comes back by itself', async () => {
    const first = start();
    await enrolled();
    await plane.offer('1.1');
    await reported(NodeBundleState.HEALTHY);
    await first.stop();
    await plane.stop();
    const before = plane.checkIns.length;
    const second = start({ dir: first.dir, kernel: first.kernel });
    await until(() => expect(second.log.join('')).toMatch(/no connection to the gateway/));
    expect(second.kernel.state?.generation).toBe('1.1');
    await plane.listen();
    await until(() => expect(plane.checkIns.length).toBeGreaterThan(before));
    await reported(NodeBundleState.HEALTHY);
  });
});
