import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { LocalEndpoint } from '@palisade/dataplane';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DesiredState, Enforcer } from './enforcer.ts';
import { createKernelEnforcer } from './kernel-enforcer.ts';
import { OBJECT_PATH, kernelUnavailable } from './testing/kernel-available.ts';
import { resolvedNode } from './testing/resolved-fixture.ts';
import { TestNetwork } from './testing/test-network.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

describe.skipIf(unavailable)('coverage of interfaces', () => {
  const network = new TestNetwork(['old']);
  const [old] = network.pods;
  const object = unavailable ? new Uint8Array() : readFileSync(OBJECT_PATH);
  const programs = [{ name: 'endpoint', sha256: createHash('sha256').update(object).digest('hex'), bytes: object }];
  const endpoint = (slot: number, ifname: string): LocalEndpoint => ({ key: `pod/shop/${ifname}`, slot, attach: { kind: 'interface', ifname }, network: 'default', addresses: [] });
  const desired = (...endpoints: LocalEndpoint[]): DesiredState => ({ contentDigest: 'd', generation: '1.1', programs, resolved: resolvedNode({}, []), endpoints });
  let enforcer: Enforcer;

  beforeAll(() => network.create());
  afterAll(() => network.remove());
  beforeEach(() => {
    enforcer = createKernelEnforcer({ pinRoot: `/sys/fs/bpf/palisade/cover-${network.id}`, networkNamespace: network.nodePath });
  });
  afterEach(() => enforcer.uninstall());

  it('measures how long a new interface was open, and says nothing of one that is older than the watch', async () => {
    const state = desired(endpoint(1, old?.ifname ?? ''), endpoint(2, 'late0'));
    await enforcer.apply(state);
    let news = 0;
    let applied: Promise<unknown> = Promise.resolve();
    const stop = enforcer.watch(() => {
      news += 1;
      applied = applied.then(() => enforcer.apply(state));
    });
    network.onNode('ip', 'link', 'add', 'late0', 'type', 'veth', 'peer', 'name', 'late1');
    await expect.poll(() => news).toBeGreaterThan(0);
    stop();
    await applied;
    const { endpoints } = await enforcer.running();
    expect(endpoints).toContainEqual({ key: `pod/shop/${old?.ifname}`, protected: true });
    expect(endpoints).toContainEqual({ key: 'pod/shop/late0', protected: true, unprotectedMs: expect.any(Number) });
    network.onNode('ip', 'link', 'del', 'late0');
  });

  it('reports a macvlan as unprotected, with the reason', async () => {
    network.onNode('ip', 'link', 'add', 'mv0', 'link', old?.ifname ?? '', 'type', 'macvlan');
    const state = await enforcer.apply(desired(endpoint(1, 'mv0')));
    expect(state.endpoints).toEqual([{ key: 'pod/shop/mv0', protected: false, reason: expect.stringMatching(/macvlan is switched inside its parent/) }]);
    network.onNode('ip', 'link', 'del', 'mv0');
  });

  it('reports every veth as unprotected where Cilium delivers past it', async () => {
    network.onNode('ip', 'link', 'add', 'cilium_host', 'type', 'veth', 'peer', 'name', 'cilium_net');
    const state = await enforcer.apply(desired(endpoint(1, old?.ifname ?? '')));
    expect(state.endpoints[0]).toMatchObject({ protected: false, reason: expect.stringMatching(/bpf_redirect_peer/) });
    network.onNode('ip', 'link', 'del', 'cilium_host');
  });
});
