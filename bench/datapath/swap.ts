/** Programs and generations are replaced while allowed and denied packets flow: none may be lost, none may leak. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { NativeKernel } from '@palisade/kernel';
import type { DesiredState } from '../../apps/agent/src/enforcer/enforcer.ts';
import { createKernelEnforcer } from '../../apps/agent/src/enforcer/kernel-enforcer.ts';
import { Pins } from '../../apps/agent/src/enforcer/pins.ts';
import { EchoLoad, type EchoCounts } from '../../apps/agent/src/enforcer/testing/echo-load.ts';
import { OBJECT_PATH } from '../../apps/agent/src/enforcer/testing/kernel-available.ts';
import { entry, resolvedNode } from '../../apps/agent/src/enforcer/testing/resolved-fixture.ts';
import { TestNetwork } from '../../apps/agent/src/enforcer/testing/test-network.ts';

export interface SwapFigures {
  /** Program swaps of one link. */
  readonly swaps: number;
  /** Datagrams without an answer, connections that broke, segments that had to be sent again. */
  readonly swap_lost: number;
  /** Answers to what policy denies. */
  readonly swap_leaked: number;
  /** Packets of the client meanwhile: allowed ones over UDP and TCP, and denied ones. */
  readonly swap_packets: number;
  readonly generation_swaps: number;
  readonly generation_swap_wrong: number;
  readonly generation_swap_packets: number;
}

const KEY = 'pod/bench/client';
const CHUNK = 100;
const PAUSE_MS = 2;
const GENERATIONS = 300;

function release(number: number): DesiredState['programs'] {
  const object = readFileSync(OBJECT_PATH);
  const bytes = new Uint8Array(object.length + 1);
  bytes.set(object);
  bytes[object.length] = number;
  return [{ name: 'endpoint', sha256: createHash('sha256').update(bytes).digest('hex'), bytes }];
}

const lostOf = (counts: EchoCounts): number => counts.lost + counts.broken + counts.repeated;
const packetsOf = (counts: EchoCounts): number => counts.datagrams + counts.segments + counts.denied;

export async function measureSwaps(swaps: number): Promise<SwapFigures> {
  const network = new TestNetwork(['client', 'server']);
  const kernel = new NativeKernel();
  const pins = new Pins(`/sys/fs/bpf/palisade/bench-${network.id}`);
  const enforcer = createKernelEnforcer({ pinRoot: pins.root, networkNamespace: network.nodePath, kernel });
  let load: EchoLoad | undefined;
  try {
    network.create();
    const [client, server] = [network.pod('client'), network.pod('server')];
    load = await EchoLoad.start(client, server, 9000, 9001);
    const state = (number: number, programs: DesiredState['programs']): DesiredState => ({
      contentDigest: `${number}`, generation: `1.${number}`, programs,
      resolved: resolvedNode({ [KEY]: [entry('egress', 0, 0, 0, 'deny', 1), ...[6, 17].map((protocol) => entry('egress', 10 + number, protocol, 9000, 'allow', 2))] }, [{ cidr: `${server.address}/32`, peerClass: 10 + number, identity: 1000 }], number),
      endpoints: [{ key: KEY, slot: 1, attach: { kind: 'interface', ifname: client.ifname }, network: 'default', addresses: [client.address] }],
    });
    const releases = [release(1), release(2)] as const;
    await enforcer.apply(state(1, releases[0]));
    await enforcer.apply(state(2, releases[1]));
    const link = kernel.openPin(pins.link(1, 'ingress'));
    const programs = releases.map(([object]) => kernel.openPin(pins.program(object?.sha256 ?? '', 'from_endpoint')));
    const [one, two] = programs;
    if (link === undefined || one === undefined || two === undefined) throw new Error('the pins are missing');
    const swapped = await load.during(async () => {
      for (let done = 0; done < swaps; done += CHUNK) {
        for (let at = 0; at < CHUNK; at += 1) kernel.updateLink(link, at % 2 === 0 ? one : two);
        // Each swap interrupts the other processor; without a pause hardly a packet would be sent.
        await setTimeout(PAUSE_MS);
      }
    });
    for (const descriptor of [link, one, two]) kernel.close(descriptor);
    const switched = await load.during(async () => {
      for (let number = 3; number < 3 + GENERATIONS; number += 1) await enforcer.apply(state(number, releases[1]));
    });
    return {
      swaps, swap_lost: lostOf(swapped), swap_leaked: swapped.leaked, swap_packets: packetsOf(swapped),
      generation_swaps: GENERATIONS, generation_swap_wrong: lostOf(switched) + switched.leaked, generation_swap_packets: packetsOf(switched),
    };
  } finally {
    await load?.stop();
    await enforcer.uninstall();
    await network.remove();
  }
}
