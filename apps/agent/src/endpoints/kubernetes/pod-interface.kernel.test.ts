import { NativeKernel } from '@palisade/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kernelUnavailable } from '../../enforcer/testing/kernel-available.ts';
import { TestCgroups } from '../../enforcer/testing/test-cgroups.ts';
import { TestNetwork } from '../../enforcer/testing/test-network.ts';
import { podInterface, processOfPod } from './pod-interface.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const UID = '0f3b1c9e-7a55-4c1e-9c55-2b7d7b1f4d10';

describe.skipIf(unavailable)('the interface of a pod', () => {
  const network = new TestNetwork(['one', 'two']);
  const pod = network.pod('two');
  let cgroups: TestCgroups;

  beforeAll(async () => {
    network.create();
    cgroups = new TestCgroups(network.id);
    await pod.stop();
    pod.start(cgroups.unit(`kubepods-pod${UID.replaceAll('-', '_')}.slice`));
    await pod.ask({ op: 'listen-tcp', port: 1234 });
  });
  afterAll(async () => {
    await network.remove();
    cgroups.remove();
  });

  it('is found by the network namespace and index of its other end, though all pods call theirs eth0', () => {
    const kernel = new NativeKernel();
    expect(processOfPod(UID)).toBe(pod.pid);
    const find = (uid: string): string => kernel.inNetworkNamespace(network.nodePath, () => podInterface(uid, kernel));
    expect(find(UID)).toBe(pod.ifname);
    expect([find('no-such-pod'), find('')]).toEqual(['', '']);
  });

  it('is seen to come, go and be a veth', async () => {
    const kernel = new NativeKernel();
    let news = 0;
    const stop = kernel.inNetworkNamespace(network.nodePath, () => kernel.watchInterfaces(() => (news += 1)));
    const names = (): string[] => kernel.inNetworkNamespace(network.nodePath, () => kernel.interfaces().map(({ name, kind }) => `${name}:${kind}`));
    expect(names()).toContain(`${pod.ifname}:veth`);
    network.onNode('ip', 'link', 'add', 'mv0', 'link', pod.ifname, 'type', 'macvlan');
    await expect.poll(() => news).toBeGreaterThan(0);
    expect(names()).toContain('mv0:macvlan');
    news = 0;
    network.onNode('ip', 'link', 'del', 'mv0');
    await expect.poll(() => news).toBeGreaterThan(0);
    stop();
  });
});
