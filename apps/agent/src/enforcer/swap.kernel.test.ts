import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { LocalEndpoint } from '@palisade/dataplane';
import type { PolicyEntry } from '@palisade/policy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DesiredState, Enforcer } from './enforcer.ts';
import { createKernelEnforcer } from './kernel-enforcer.ts';
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
    const policy: PolicyEntry[] = [entry('egress', 0, 0, 0, 'deny', 1), entry('egress', peer, 17, ALLOWED, 'allow', 2 + 2 * number)];
    const renumbered = addresses.map((address) => (address.peerClass === SERVER ? { ...address, peerClass: peer } : address));
    return {
      contentDigest: `c${number}`, generation: `1.${number}`, programs, endpoints, resolved: resolvedNode({ 'pod/load/client': policy }, renumbered, number),
    };
  }

  async function underLoad(change: (round: number) => Promise<unknown>): Promise<{ allowed: Record<string, number>; denied: Record<string, number> }> {
    await client.ask({ op: 'load', connection: 'allowed', host: server.address, port: ALLOWED });
    await client.ask({ op: 'load', connection: 'denied', host: server.address, port: DENIED });
    for (let round = 1; round <= SWAPS; round += 1) await change(round);
    const stop = async (connection: string): Promise<Record<string, number>> =>
      JSON.parse((await client.ask({ op: 'stop-load', connection })).detail ?? '{}') as Record<string, number>;
    return { allowed: await stop('allowed'), denied: await stop('denied') };
  }

  beforeAll(async () => {
    network.create();
    for (const port of [ALLOWED, DENIED]) await server.ask({ op: 'listen-udp', port });
    enforcer = createKernelEnforcer({ pinRoot: `/sys/fs/bpf/palisade/test-${network.id}`, networkNamespace: network.nodePath });
    await enforcer.apply(desired(0, release(0)));
  });
  afterAll(async () => {
    await enforcer.uninstall();
    await network.remove();
  });

  it('of policy and class numbers lose no allowed packet and leak no denied one', async () => {
    const { allowed, denied } = await underLoad((round) => enforcer.apply(desired(round, release(0))));
    expect(allowed['sent']).toBeGreaterThan(100);
    expect(allowed['answered']).toBe(allowed['sent']);
    expect(denied['sent']).toBeGreaterThan(100);
    expect(denied['answered']).toBe(0);
  });

  it('of the programs lose no allowed packet and leak no denied one', async () => {
    const { allowed, denied } = await underLoad((round) => enforcer.apply(desired(100 + round, release(1 + (round % 2)))));
    expect(allowed['sent']).toBeGreaterThan(100);
    expect(allowed['answered']).toBe(allowed['sent']);
    expect(denied['answered']).toBe(0);
    expect((await enforcer.running()).endpoints.every((endpoint) => endpoint.protected)).toBe(true);
  });
});
