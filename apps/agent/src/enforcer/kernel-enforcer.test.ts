import { FakeKernel, FakeMachine } from '@palisade/kernel';
import type { LocalEndpoint } from '@palisade/dataplane';
import { beforeEach, describe, expect, it } from 'vitest';
import type { DesiredState } from './enforcer.ts';
import { createKernelEnforcer } from './kernel-enforcer.ts';
import { entry, resolvedNode } from './testing/resolved-fixture.ts';

const ELF = Uint8Array.from([0x7f, 0x45, 0x4c, 0x46]);
const ADDRESSES = [{ cidr: '10.0.0.1/32', peerClass: 10, identity: 1000 }];

function endpoint(name: string, slot: number): LocalEndpoint {
  return { key: `pod/shop/${name}`, slot, attach: { kind: 'interface', ifname: `v-${name}` }, network: 'default', addresses: [] };
}

function state(revision: number, more: Partial<DesiredState> = {}): DesiredState {
  return {
    contentDigest: `sha256:${revision}`, generation: `1.${revision}`,
    programs: [{ name: 'endpoint', sha256: 'aa'.repeat(32), bytes: ELF }],
    resolved: resolvedNode({ 'pod/shop/a': [entry('egress', 0, 0, 0, 'deny', 1)] }, ADDRESSES, revision),
    endpoints: [endpoint('a', 1), endpoint('b', 2)],
    ...more,
  };
}

/** Nothing restricts egress. */
const OPEN = { resolved: resolvedNode({ 'pod/shop/a': [entry('ingress', 0, 0, 0, 'deny', 1)] }, ADDRESSES) };

describe('the enforcer on a kernel in memory', () => {
  let machine: FakeMachine;
  const hooks = (): number => [...machine.pins.keys()].filter((pin) => pin.includes('/netfilter/')).length;
  const enforcer = (features: Record<string, boolean> = {}): ReturnType<typeof createKernelEnforcer> =>
    createKernelEnforcer({ pinRoot: '/pins', kernel: new FakeKernel(machine, features) });
  beforeEach(() => {
    machine = new FakeMachine();
    machine.setInterface('v-a', 11);
    machine.setInterface('v-b', 12);
  });

  it('runs nothing before the first bundle', async () => {
    expect(await enforcer().adopt()).toEqual({ policyRevision: 0, identityRevision: 0, endpoints: [] });
  });
  it('reports what it reads back, in this process and in the next', async () => {
    const expected = {
      contentDigest: 'sha256:1', generation: '1.1', policyRevision: 1, identityRevision: 1,
      endpoints: [{ key: 'pod/shop/a', protected: true }, { key: 'pod/shop/b', protected: true }],
    };
    expect(await enforcer().apply(state(1))).toEqual(expected);
    expect(await enforcer().adopt()).toEqual(expected);
  });
  it('reports an endpoint as unprotected once its interface is gone, and attaches to the new one', async () => {
    const subject = enforcer();
    await subject.apply(state(1));
    machine.setInterface('v-a', 0);
    expect((await subject.running()).endpoints[0]).toMatchObject({ key: 'pod/shop/a', protected: false });
    machine.setInterface('v-a', 21);
    expect((await subject.apply(state(1))).endpoints[0]).toEqual({ key: 'pod/shop/a', protected: true });
  });
  it('forgets endpoints that are no longer wanted', async () => {
    const subject = enforcer();
    await subject.apply(state(1));
    expect((await subject.apply(state(2, { endpoints: [endpoint('b', 2)] }))).endpoints).toEqual([{ key: 'pod/shop/b', protected: true }]);
  });
  it('keeps the old state when the program object is missing or broken', async () => {
    const subject = enforcer();
    await subject.apply(state(1));
    await expect(subject.apply(state(2, { programs: [] }))).rejects.toMatchObject({ code: 'kernel.load-failed' });
    const broken = [{ name: 'endpoint', sha256: 'bb'.repeat(32), bytes: new Uint8Array(8) }];
    await expect(subject.apply(state(2, { programs: broken }))).rejects.toMatchObject({ code: 'kernel.load-failed' });
    expect((await subject.running()).contentDigest).toBe('sha256:1');
  });
  it('does without the after-DNAT hook where the kernel has none', async () => {
    await enforcer({ 'netfilter-link': false }).apply(state(1));
    expect(hooks()).toBe(0);
  });
  it('enforces where the root of cgroup v2 takes no programs', async () => {
    const senders = (): number => [...machine.pins.keys()].filter((pin) => /\/tracepoints\/(?:connect|sendmsg)/.test(pin)).length;
    const subject = (): ReturnType<typeof createKernelEnforcer> => createKernelEnforcer({ pinRoot: '/pins', kernel: new FakeKernel(machine, { 'datagram-process': true }), cgroupRoot: '/cgroup' });
    expect((await subject().apply(state(1))).endpoints.every((one) => one.protected)).toBe(true);
    expect(senders()).toBe(0);
    machine.cgroups.set('/cgroup', 1n);
    await subject().apply(state(2));
    expect(senders()).toBe(4);
  });
  it('attaches the after-DNAT hook only where something depends on it', async () => {
    const subject = enforcer();
    await subject.apply(state(1, OPEN));
    expect(hooks()).toBe(0);
    await subject.apply(state(2, { ...OPEN, services: [{ network: 'default', address: '10.96.0.1', port: 443, protocol: 6 }] }));
    expect(hooks()).toBe(4);
    await subject.apply(state(3, OPEN));
    expect(hooks()).toBe(0);
    await subject.apply(state(4, { ...OPEN, shadow: state(4).resolved }));
    expect(hooks()).toBe(4);
    await subject.apply(state(5));
    expect(hooks()).toBe(4);
  });
  it('uses clsact where TCX is missing, and reports and takes away what is there', async () => {
    const subject = enforcer({ tcx: false });
    expect((await subject.apply(state(1))).endpoints.map((one) => one.protected)).toEqual([true, true]);
    expect([...machine.clsact.keys()].sort()).toEqual(['11 egress', '11 ingress', '12 egress', '12 ingress']);
    machine.clsact.delete('11 egress');
    expect((await subject.running()).endpoints[0]).toMatchObject({ key: 'pod/shop/a', protected: false });
    expect((await subject.apply(state(1))).endpoints[0]).toEqual({ key: 'pod/shop/a', protected: true });
    await subject.uninstall();
    expect(machine.clsact.size).toBe(0);
  });
  it('leaves no pin behind after uninstall', async () => {
    const subject = enforcer();
    await subject.apply(state(1));
    await subject.uninstall();
    expect(machine.pins.size).toBe(0);
  });
  it('collects what neither bank uses, however many changes there are', async () => {
    const subject = enforcer();
    for (let revision = 1; revision <= 20; revision += 1) {
      const entries = [entry('egress', 0, 6, revision, 'deny', 1)];
      await subject.apply(state(revision, { resolved: resolvedNode({ 'pod/shop/a': entries }, ADDRESSES, revision) }));
    }
    expect([...machine.pins.keys()].filter((pin) => pin.includes('/policies/')).length).toBeLessThanOrEqual(3);
  });
});
