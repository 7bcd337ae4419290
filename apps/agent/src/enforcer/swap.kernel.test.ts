import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { LocalEndpoint } from '@palisade/dataplane';
import type { PolicyEntry } from '@palisade/policy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DesiredState, Enforcer } from './enforcer.ts';
import { createKernelEnforcer } from './kernel-enforcer.ts';
import { EchoLoad, type EchoCounts } from './testing/echo-load.ts';
import { OBJECT_PATH, kernelUnavailable } from './testing/kernel-available.ts';
import { entry, resolvedNode } from './testing/resolved-fixture.ts';
import { TestNetwork } from './testing/test-network.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const SERVER = 12;
const ALLOWED = 9000;
const DENIED = 9001;
const SWAPS = 25;

describe.skipIf(unavailable)('changes under load', () => {
  const network = new TestNetwork(['client', 'server']);
  const [client, server] = [network.pod('client'), network.pod('server')];
  const object = unavailable ? new Uint8Array() : readFileSync(OBJECT_PATH);
  const endpoints: LocalEndpoint[] = network.pods.map((pod, index) => ({
    key: `pod/load/${pod.name}`, slot: index + 1, attach: { kind: 'interface', ifname: pod.ifname }, network: 'default', addresses: [pod.address],
  }));
  const addresses = [{ cidr: `${server.address}/32`, peerClass: SERVER, identity: 1000 }, { cidr: '0.0.0.0/0', peerClass: 1, identity: 2 }];
  let enforcer: Enforcer;
  let load: EchoLoad;

  /** Two of them alternate, so that only the first two have to be loaded. Programs with equal code and different digests, as successive releases of the bundle would bring them. */
  function release(number: number): DesiredState['programs'] {
    const bytes = new Uint8Array(object.length + 1);
    bytes.set(object);
    bytes[object.length] = number;
    return [{ name: 'endpoint', sha256: createHash('sha256').update(bytes).digest('hex'), bytes }];
  }

  function desired(number: number, programs: DesiredState['programs']): DesiredState {
    // Class numbers and rules differ each time, as they may between resolutions; the meaning is the same.
    const peer = SERVER + number;
    const policy: PolicyEntry[] = [entry('egress', 0, 0, 0, 'deny', 1), ...[6, 17].map((protocol) => entry('egress', peer, protocol, ALLOWED, 'allow', 2 + 2 * number))];
    const renumbered = addresses.map((address) => (address.peerClass === SERVER ? { ...address, peerClass: peer } : address));
    return {
      contentDigest: `c${number}`, generation: `1.${number}`, programs, endpoints, resolved: resolvedNode({ 'pod/load/client': policy }, renumbered, number),
    };
  }

  /** Every packet of some thousand meets one policy or the other, and both say the same. */
  function expectExact(counts: EchoCounts): void {
    expect(counts).toMatchObject({ lost: 0, leaked: 0, broken: 0, repeated: 0 });
    expect(Math.min(counts.datagrams, counts.denied, counts.segments)).toBeGreaterThan(1000);
    expect(counts.connections).toBeGreaterThan(30);
  }

  beforeAll(async () => {
    network.create();
    load = await EchoLoad.start(client, server, ALLOWED, DENIED);
    enforcer = createKernelEnforcer({ pinRoot: `/sys/fs/bpf/palisade/test-${network.id}`, networkNamespace: network.nodePath });
    await enforcer.apply(desired(0, release(0)));
  });
  afterAll(async () => {
    await load.stop();
    await enforcer.uninstall();
    await network.remove();
  });

  const rounds = async (change: (round: number) => Promise<unknown>): Promise<void> => {
    for (let round = 1; round <= SWAPS; round += 1) await change(round);
  };

  it('of policy and class numbers lose no allowed packet and leak no denied one', async () => {
    expectExact(await load.during(() => rounds((round) => enforcer.apply(desired(round, release(0))))));
  });

  it('of the programs lose no allowed packet and leak no denied one', async () => {
    expectExact(await load.during(() => rounds((round) => enforcer.apply(desired(100 + round, release(1 + (round % 2)))))));
    expect((await enforcer.running()).endpoints.every((endpoint) => endpoint.protected)).toBe(true);
  });
});
