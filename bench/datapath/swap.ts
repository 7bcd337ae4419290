/** Programs and generations are replaced while allowed and denied datagrams flow: none may be lost, none may leak. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { NativeKernel } from '@palisade/kernel';
import type { DesiredState } from '../../apps/agent/src/enforcer/enforcer.ts';
import { createKernelEnforcer } from '../../apps/agent/src/enforcer/kernel-enforcer.ts';
import { Pins } from '../../apps/agent/src/enforcer/pins.ts';
import { OBJECT_PATH } from '../../apps/agent/src/enforcer/testing/kernel-available.ts';
import { entry, resolvedNode } from '../../apps/agent/src/enforcer/testing/resolved-fixture.ts';
import { TestNetwork, type TestPod } from '../../apps/agent/src/enforcer/testing/test-network.ts';

export interface SwapFigures {
  readonly swaps: number;
  readonly swap_lost: number;
  readonly swap_leaked: number;
  readonly swap_datagrams: number;
  readonly generation_swaps: number;
  /** Allowed datagrams without answer plus denied ones with one. */
  readonly generation_swap_wrong: number;
}

const KEY = 'pod/bench/client';
const CHUNK = 1000;

function release(number: number): DesiredState['programs'] {
  const object = readFileSync(OBJECT_PATH);
  const bytes = new Uint8Array(object.length + 1);
  bytes.set(object);
  bytes[object.length] = number;
  return [{ name: 'endpoint', sha256: createHash('sha256').update(bytes).digest('hex'), bytes }];
}

async function underLoad(client: TestPod, host: string, work: () => Promise<void>): Promise<{ lost: number; leaked: number; sent: number }> {
  const kinds = [['allowed', 9000], ['denied', 9001]] as const;
  for (const [connection, port] of kinds) await client.ask({ op: 'load', connection, host, port });
  await work();
  const [allowed, denied] = await Promise.all(
    kinds.map(async ([connection]) => JSON.parse((await client.ask({ op: 'stop-load', connection })).detail ?? '{}') as { sent: number; answered: number }),
  );
  if (!allowed || !denied) throw new Error('the load gave no answer');
  return { lost: allowed.sent - allowed.answered, leaked: denied.answered, sent: allowed.sent + denied.sent };
}

export async function measureSwaps(swaps: number): Promise<SwapFigures> {
  const network = new TestNetwork(['client', 'server']);
  const kernel = new NativeKernel();
  const pins = new Pins(`/sys/fs/bpf/palisade/bench-${network.id}`);
  const enforcer = createKernelEnforcer({ pinRoot: pins.root, networkNamespace: network.nodePath, kernel });
  try {
    network.create();
    const [client, server] = [network.pod('client'), network.pod('server')];
    for (const port of [9000, 9001]) await server.ask({ op: 'listen-udp', port });
    const state = (number: number, programs: DesiredState['programs']): DesiredState => ({
      contentDigest: `${number}`, generation: `1.${number}`, programs,
      resolved: resolvedNode({ [KEY]: [entry('egress', 0, 0, 0, 'deny', 1), entry('egress', 10 + number, 17, 9000, 'allow', 2)] }, [{ cidr: `${server.address}/32`, peerClass: 10 + number, identity: 1000 }], number),
      endpoints: [{ key: KEY, slot: 1, attach: { kind: 'interface', ifname: client.ifname }, network: 'default', addresses: [client.address] }],
    });
    const releases = [release(1), release(2)] as const;
    await enforcer.apply(state(1, releases[0]));
    await enforcer.apply(state(2, releases[1]));
    const link = kernel.openPin(pins.link(1, 'ingress'));
    const programs = releases.map(([object]) => kernel.openPin(pins.program(object?.sha256 ?? '', 'from_endpoint')));
    const [one, two] = programs;
    if (link === undefined || one === undefined || two === undefined) throw new Error('the pins are missing');
    const swapped = await underLoad(client, server.address, async () => {
      for (let done = 0; done < swaps; done += CHUNK) {
        for (let at = 0; at < CHUNK; at += 1) kernel.updateLink(link, at % 2 === 0 ? one : two);
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    for (const descriptor of [link, one, two]) kernel.close(descriptor);
    const generations = 50;
    const switched = await underLoad(client, server.address, async () => {
      for (let number = 3; number < 3 + generations; number += 1) await enforcer.apply(state(number, releases[1]));
    });
    return {
      swaps, swap_lost: swapped.lost, swap_leaked: swapped.leaked, swap_datagrams: swapped.sent,
      generation_swaps: generations, generation_swap_wrong: switched.lost + switched.leaked,
    };
  } finally {
    await enforcer.uninstall();
    await network.remove();
  }
}
