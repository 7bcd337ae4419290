import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { KernelFlowEvent } from '@palisade/dataplane';
import { NativeKernel } from '@palisade/kernel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Enforcer } from './enforcer.ts';
import { createKernelEnforcer } from './kernel-enforcer.ts';
import type { ArgumentSetting } from './process-names.ts';
import { OBJECT_PATH, kernelUnavailable } from './testing/kernel-available.ts';
import { resolvedNode } from './testing/resolved-fixture.ts';
import { TestCgroups } from './testing/test-cgroups.ts';
import { TestNetwork } from './testing/test-network.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const CONTAINER = 'c0'.repeat(32);

describe.skipIf(unavailable)('the process behind a flow', () => {
  const network = new TestNetwork(['client', 'server']);
  const [client, server] = [network.pod('client'), network.pod('server')];
  const object = unavailable ? new Uint8Array() : readFileSync(OBJECT_PATH);
  const endpoints = [{ key: 'pod/shop/client', slot: 1, attach: { kind: 'interface', ifname: client.ifname }, network: 'default', addresses: [] }] as const;
  let cgroups: TestCgroups;
  let enforcer: Enforcer;

  /** A new datapath; what an earlier one noted is gone with it. */
  async function start(processArguments: ArgumentSetting, ...without: string[]): Promise<void> {
    await enforcer?.uninstall();
    enforcer = createKernelEnforcer({ pinRoot: `/sys/fs/bpf/palisade/proc-${network.id}`, networkNamespace: network.nodePath, kernel: new NativeKernel(undefined, without), processArguments });
    const programs = [{ name: 'endpoint', sha256: createHash('sha256').update(object).digest('hex'), bytes: object }];
    await enforcer.apply({ contentDigest: 'd', generation: '1.1', programs, resolved: resolvedNode({}, []), endpoints });
  }
  const opened = async (): Promise<readonly KernelFlowEvent[]> => (await enforcer.drain(1000)).filter((event) => event.event === 'new' && event.direction === 'egress');
  const SCRIPT = 'exec 3<>/dev/tcp/$0/8080';

  beforeAll(async () => {
    network.create();
    cgroups = new TestCgroups(network.id);
    await client.stop();
    client.start(cgroups.unit(`cri-containerd-${CONTAINER}.scope`));
    await server.ask({ op: 'listen-tcp', port: 8080 });
    await server.ask({ op: 'listen-udp', port: 9000 });
    await client.ask({ op: 'tcp', host: '127.0.0.1', port: 1, timeoutMs: 1 });
  });
  afterAll(async () => {
    await enforcer.uninstall();
    await network.remove();
    cgroups.remove();
  });

  it('is named with its program and a hash of its arguments, also when it has ended before the flow is read', async () => {
    await start('hash');
    client.run('/bin/bash', '-c', SCRIPT, server.address);
    const hash = createHash('sha256').update(['-c', SCRIPT, server.address].map((word) => `${word}\0`).join('')).digest('hex').slice(0, 32);
    expect((await opened())[0]).toMatchObject({ command: 'bash', process: { binary: '/bin/bash', arguments: `sha256:${hash}` } });
  });
  it('is named when it ran before, with its container, and its arguments where that is set', async () => {
    await start('full');
    await client.ask({ op: 'tcp', host: server.address, port: 8080 });
    expect((await opened())[0]?.process).toEqual({ binary: process.execPath, arguments: expect.stringContaining('namespace-host.ts'), container: CONTAINER });
  });
  it('is its parent’s program where it forked without executing one', async () => {
    await start('off');
    client.run('/bin/bash', '-c', `( ${SCRIPT} ) ; true`, server.address);
    const [event] = await opened();
    expect(event?.process).toEqual({ binary: '/bin/bash' });
  });
  it('is named for datagrams, whether its socket is connected or not', async () => {
    await start('full');
    const datagrams = async (): Promise<KernelFlowEvent | undefined> => (await opened()).find(({ protocol }) => protocol === 17);
    client.run('/bin/bash', '-c', 'exec 3<>/dev/udp/$0/9000; echo hello >&3', server.address);
    expect(await datagrams()).toMatchObject({ command: 'bash', process: { binary: '/bin/bash' } });
    await client.ask({ op: 'udp', host: server.address, port: 9000 });
    expect(await datagrams()).toMatchObject({ pid: client.pid, process: { binary: process.execPath, container: CONTAINER } });
  });
  it('is not known for datagrams where the kernel cannot say who sends, and all else is the same', async () => {
    await start('full', 'datagram-process');
    await client.ask({ op: 'udp', host: server.address, port: 9000 });
    await client.ask({ op: 'tcp', host: server.address, port: 8080 });
    const events = await opened();
    expect(events.find(({ protocol }) => protocol === 17)).toMatchObject({ pid: 0, command: '' });
    expect(events.find(({ protocol }) => protocol === 6)).toMatchObject({ process: { binary: process.execPath } });
  });
  it('is only a command where the kernel has no tracepoint for executions and the process is gone', async () => {
    await start('hash', 'execution-tracepoint');
    expect((await enforcer.features()).features).toMatchObject({ 'execution-tracepoint': false, tracepoint: true });
    client.run('/bin/bash', '-c', SCRIPT, server.address);
    const [event] = await opened();
    expect(event).toMatchObject({ command: 'bash' });
    expect(event).not.toHaveProperty('process');
  });
});
