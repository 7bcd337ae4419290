import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LocalEndpoint } from '@palisade/dataplane';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Enforcer } from '../enforcer/enforcer.ts';
import { createKernelEnforcer } from '../enforcer/kernel-enforcer.ts';
import { CrowdProcess, GateProcess, HttpServerProcess, RawClient, gateUnavailable } from '../enforcer/testing/http-processes.ts';
import { OBJECT_PATH, kernelUnavailable } from '../enforcer/testing/kernel-available.ts';
import { entry, resolvedNode } from '../enforcer/testing/resolved-fixture.ts';
import { TestNetwork } from '../enforcer/testing/test-network.ts';

const unavailable = kernelUnavailable() ?? gateUnavailable();
if (unavailable) console.warn(unavailable);

const CLIENT = 11;
const PORT = 8080;
/** Of the gate's 4,096 connections. */
const HALF = 2048;
const REQUEST = 'GET /public HTTP/1.1\r\nHost: server.example\r\n\r\n';

describe.skipIf(unavailable)('the gate under a crowd', () => {
  const network = new TestNetwork(['crowd', 'client', 'server']);
  const [crowded, client, server] = [network.pod('crowd'), network.pod('client'), network.pod('server')];
  const folder = mkdtempSync(join(tmpdir(), 'palisade-crowd-'));
  const socketPath = join(folder, 'gate.sock');
  let enforcer: Enforcer;
  let gate: GateProcess;
  let http: HttpServerProcess;

  const ask = async (): Promise<number> => {
    const one = new RawClient(`/run/netns/${client.namespace}`, server.address, PORT);
    one.say(REQUEST);
    const [status = 0] = await one.answers(1);
    await one.kill();
    return status;
  };

  beforeAll(async () => {
    chmodSync(folder, 0o755);
    network.create();
    const object = readFileSync(OBJECT_PATH);
    const endpoints: LocalEndpoint[] = network.pods.map((pod, index) => ({
      key: `pod/lab/${pod.name}`, slot: index + 1, attach: { kind: 'interface', ifname: pod.ifname }, network: 'default', addresses: [pod.address, pod.address6],
    }));
    const addresses = [crowded, client].map(({ address }, index) => ({ cidr: `${address}/32`, peerClass: CLIENT, identity: 1000 + index }));
    const policies = { 'pod/lab/server': [entry('ingress', 0, 0, 0, 'deny', 1), { ...entry('ingress', CLIENT, 6, PORT, 'l7', 2), l7: 0 }] };
    enforcer = createKernelEnforcer({ pinRoot: `/sys/fs/bpf/palisade/test-${network.id}`, networkNamespace: network.nodePath, httpGateSocket: socketPath, adoptionMs: 0, deltaIntervalMs: 0 });
    http = await new HttpServerProcess(`/run/netns/${server.namespace}`, PORT).ready();
    await enforcer.apply({
      contentDigest: 'sha256:1', generation: '1.1', endpoints,
      programs: [{ name: 'endpoint', sha256: createHash('sha256').update(object).digest('hex'), bytes: object }],
      resolved: { ...resolvedNode(policies, addresses, 1), l7Rules: [{ mode: 'hard', http: [{ path: '/public', ruleId: 100 }] }] },
    });
    gate = new GateProcess(network.nodePath, socketPath);
    for (let attempt = 0; attempt < 100 && (await ask()) !== 200; attempt += 1) if (gate.ended) throw new Error(gate.errors);
  });
  afterAll(async () => {
    await gate.kill();
    await http.kill();
    await enforcer.uninstall();
    await network.remove();
    rmSync(folder, { recursive: true });
  });

  it('gives one client half of its connections and resets the rest, serves the others, says so, and forgets it when it is over', async () => {
    const crowd = new CrowdProcess(`/run/netns/${crowded.namespace}`, server.address, PORT, HALF + 50);
    await crowd.until('the connections beyond the half to end', () => crowd.seen.ended === 50, 40_000);
    expect(await ask()).toBe(200);
    crowd.say(REQUEST);
    await crowd.until('an answer on each that is left', () => crowd.seen.answers === HALF, 40_000);
    expect(crowd.seen.ended).toBe(50);
    await gate.until('word of it', () => gate.errors.includes('refused'), 20_000);
    await crowd.kill();
    const again = new CrowdProcess(`/run/netns/${crowded.namespace}`, server.address, PORT, 100);
    again.say(REQUEST);
    await again.until('room for new ones', () => again.seen.answers >= 1, 20_000);
    await again.kill();
  });
});
