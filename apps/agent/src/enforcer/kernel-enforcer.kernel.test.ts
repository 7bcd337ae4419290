import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, renameSync } from 'node:fs';
import { PALISADE_ABI, type KernelFlowEvent, type LocalEndpoint } from '@palisade/dataplane';
import { NativeKernel } from '@palisade/kernel';
import type { PolicyEntry } from '@palisade/policy';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DesiredState, Enforcer } from './enforcer.ts';
import { createKernelEnforcer } from './kernel-enforcer.ts';
import { Pins } from './pins.ts';
import { OBJECT_PATH, kernelUnavailable } from './testing/kernel-available.ts';
import { entry, resolvedNode } from './testing/resolved-fixture.ts';
import { TestNetwork } from './testing/test-network.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const FRONTEND = 11;
const BACKEND = 12;
const DB = 13;
const WORLD = 1;
const SERVICE = '10.96.0.10';

describe.skipIf(unavailable)('the kernel enforcer on real traffic', () => {
  const network = new TestNetwork(['frontend', 'backend', 'db']);
  const object = unavailable ? new Uint8Array() : readFileSync(OBJECT_PATH);
  const programs = [{ name: 'endpoint', sha256: createHash('sha256').update(object).digest('hex'), bytes: object }];
  const pinRoot = `/sys/fs/bpf/palisade/test-${network.id}`;
  const options = { pinRoot, networkNamespace: network.nodePath, deltaIntervalMs: 0 };
  const [frontend, backend, db] = [network.pod('frontend'), network.pod('backend'), network.pod('db')];
  const endpoints: LocalEndpoint[] = network.pods.map((pod, index) => ({
    key: `pod/shop/${pod.name}`,
    slot: index + 1,
    attach: { kind: 'interface', ifname: pod.ifname },
    network: 'default',
    addresses: [pod.address, pod.address6],
  }));
  const addresses = [
    { cidr: `${frontend.address}/32`, peerClass: FRONTEND, identity: 1000 },
    { cidr: `${frontend.address6}/128`, peerClass: FRONTEND, identity: 1000 },
    { cidr: `${backend.address}/32`, peerClass: BACKEND, identity: 1001 },
    { cidr: `${backend.address6}/128`, peerClass: BACKEND, identity: 1001 },
    { cidr: `${db.address}/32`, peerClass: DB, identity: 1002 },
    { cidr: `${db.address6}/128`, peerClass: DB, identity: 1002 },
    { cidr: '0.0.0.0/0', peerClass: WORLD, identity: 2 },
    { cidr: '::/0', peerClass: WORLD, identity: 2 },
  ];
  let enforcer: Enforcer;
  let revision = 0;

  function desired(policies: Readonly<Record<string, readonly PolicyEntry[]>>, more: Partial<DesiredState> = {}): DesiredState {
    revision += 1;
    return {
      contentDigest: `sha256:${revision}`,
      generation: `1.${revision}`,
      programs,
      resolved: resolvedNode(policies, addresses, revision),
      endpoints,
      services: [{ network: 'default', address: SERVICE, port: 80, protocol: 6 }],
      ...more,
    };
  }

  /** frontend → backend :8080 and backend → db :5432, nothing else. */
  const SHOP = {
    'pod/shop/frontend': [entry('ingress', 0, 0, 0, 'deny', 1), entry('egress', 0, 0, 0, 'deny', 3), entry('egress', BACKEND, 6, 8080, 'allow', 2)],
    'pod/shop/backend': [
      entry('ingress', 0, 0, 0, 'deny', 5),
      entry('ingress', FRONTEND, 6, 8080, 'allow', 4),
      entry('egress', 0, 0, 0, 'deny', 7),
      entry('egress', DB, 6, 5432, 'allow', 6),
    ],
    'pod/shop/db': [entry('ingress', 0, 0, 0, 'deny', 9), entry('ingress', BACKEND, 6, 5432, 'allow', 8), entry('egress', 0, 0, 0, 'deny', 11)],
  };

  async function events(): Promise<readonly KernelFlowEvent[]> {
    return enforcer.drain(100_000);
  }

  beforeAll(async () => {
    network.create();
    network.onNode('nft', 'add', 'table', 'ip', 'services');
    network.onNode('nft', 'add', 'chain', 'ip', 'services', 'prerouting', '{ type nat hook prerouting priority -100 ; }');
    network.onNode('nft', 'add', 'rule', 'ip', 'services', 'prerouting', 'ip', 'daddr', SERVICE, 'tcp', 'dport', '80', 'dnat', 'to', `${backend.address}:8080`);
    for (const pod of network.pods) {
      for (const port of [8080, 5432, 9000]) await pod.ask({ op: 'listen-tcp', port });
      await pod.ask({ op: 'listen-udp', port: 9000 });
    }
  });
  afterAll(() => network.remove());

  beforeEach(async () => {
    enforcer = createKernelEnforcer(options);
    await enforcer.adopt();
  });
  afterEach(() => enforcer.uninstall());

  it('takes the datapath of an earlier ABI away once its own is in force', async () => {
    const nothing = [entry('ingress', 0, 0, 0, 'deny', 1), entry('egress', 0, 0, 0, 'deny', 3)];
    await enforcer.apply(desired({ 'pod/shop/frontend': nothing }));
    await enforcer.close();
    renameSync(new Pins(pinRoot).base, `${pinRoot}/abi-1`);
    enforcer = createKernelEnforcer(options);
    expect(await enforcer.adopt()).toMatchObject({ policyRevision: 0, endpoints: [] });
    expect(await frontend.ask({ op: 'tcp', host: backend.address, port: 8080 })).toMatchObject({ ok: false });
    await enforcer.apply(desired({}));
    expect(await frontend.ask({ op: 'tcp', host: backend.address, port: 8080 })).toMatchObject({ ok: true });
    expect(readdirSync(pinRoot)).toEqual([`abi-${PALISADE_ABI}`]);
  });
  it('lets everything pass and reports it while no policy restricts', async () => {
    const state = await enforcer.apply(desired({}));
    expect(state.endpoints).toEqual(endpoints.map(({ key }) => ({ key, protected: true })));
    expect(await frontend.ask({ op: 'tcp', host: backend.address, port: 8080 })).toMatchObject({ ok: true });
    expect(await frontend.ask({ op: 'udp', host: db.address, port: 9000 })).toMatchObject({ ok: true });
    expect(await frontend.ask({ op: 'tcp', host: SERVICE, port: 80 })).toMatchObject({ ok: true });
    const seen = await events();
    expect(seen).toContainEqual(
      expect.objectContaining({
        event: 'new', direction: 'egress', source: frontend.address, destination: backend.address, destinationPort: 8080,
        protocol: 6, verdict: 'forwarded', peerIdentity: 1001, endpointSlot: 1,
      }),
    );
    expect(seen).toContainEqual(expect.objectContaining({ direction: 'ingress', source: frontend.address, destination: db.address, protocol: 17 }));
  });

  it('enforces allow and deny in both directions and says which rule decided', async () => {
    await enforcer.apply(desired(SHOP));
    expect(await frontend.ask({ op: 'tcp', host: backend.address, port: 8080 })).toMatchObject({ ok: true });
    expect(await backend.ask({ op: 'tcp', host: db.address, port: 5432 })).toMatchObject({ ok: true });
    expect(await frontend.ask({ op: 'tcp', host: db.address, port: 5432, timeoutMs: 300 })).toMatchObject({ ok: false, detail: 'timeout' });
    expect(await frontend.ask({ op: 'tcp', host: backend.address, port: 9000, timeoutMs: 300 })).toMatchObject({ ok: false });
    expect(await frontend.ask({ op: 'udp', host: backend.address, port: 9000, timeoutMs: 300 })).toMatchObject({ ok: false });
    const seen = await events();
    expect(seen).toContainEqual(expect.objectContaining({ event: 'new', source: frontend.address, destination: backend.address, ruleId: 2 }));
    expect(seen).toContainEqual(
      expect.objectContaining({ event: 'dropped', source: frontend.address, destination: db.address, verdict: 'dropped', dropReason: 1, ruleId: 3 }),
    );
    const counters = await enforcer.counters();
    expect(counters.droppedPackets).toBeGreaterThanOrEqual(3n);
    expect(counters.losses.ringFull).toBe(0n);
  });

  it('enforces the same over IPv6', async () => {
    await enforcer.apply(desired(SHOP));
    expect(await frontend.ask({ op: 'tcp', host: backend.address6, port: 8080 })).toMatchObject({ ok: true });
    expect(await frontend.ask({ op: 'tcp', host: db.address6, port: 5432, timeoutMs: 300 })).toMatchObject({ ok: false });
    expect(await events()).toContainEqual(expect.objectContaining({ event: 'dropped', destination: db.address6, destinationPort: 5432 }));
  });

  it('decides egress to a service address on the backend behind the DNAT rule', async () => {
    await enforcer.apply(desired(SHOP));
    expect(await frontend.ask({ op: 'tcp', host: SERVICE, port: 80 })).toMatchObject({ ok: true });
    expect(await events()).toContainEqual(
      expect.objectContaining({ event: 'new', direction: 'egress', destination: backend.address, destinationPort: 8080, serviceAddress: SERVICE, servicePort: 80, ruleId: 2 }),
    );
    expect(await db.ask({ op: 'tcp', host: SERVICE, port: 80, timeoutMs: 300 })).toMatchObject({ ok: false });
    expect(await events()).toContainEqual(
      expect.objectContaining({ event: 'dropped', direction: 'egress', source: db.address, destination: backend.address, destinationPort: 8080, dropReason: 1, ruleId: 11 }),
    );
  });

  it('cuts an open connection, direct or through a service, on the first packet after the policy denies it', async () => {
    await enforcer.apply(desired(SHOP));
    await frontend.ask({ op: 'open', connection: 'direct', host: backend.address, port: 8080 });
    await frontend.ask({ op: 'open', connection: 'service', host: SERVICE, port: 80 });
    for (const connection of ['direct', 'service']) expect(await frontend.ask({ op: 'exchange', connection })).toMatchObject({ ok: true });
    await enforcer.apply(desired({ ...SHOP, 'pod/shop/frontend': [entry('egress', 0, 0, 0, 'deny', 3)] }));
    for (const connection of ['direct', 'service']) {
      expect(await frontend.ask({ op: 'exchange', connection, timeoutMs: 300 })).toMatchObject({ ok: false, detail: 'timeout' });
    }
    await enforcer.apply(desired(SHOP));
    expect(await frontend.ask({ op: 'tcp', host: backend.address, port: 8080 })).toMatchObject({ ok: true });
  });

  it('keeps allowed connections open across policy changes', async () => {
    await enforcer.apply(desired({}));
    await frontend.ask({ op: 'open', connection: 'kept', host: backend.address, port: 8080 });
    for (const policies of [SHOP, {}, SHOP]) {
      await enforcer.apply(desired(policies));
      expect(await frontend.ask({ op: 'exchange', connection: 'kept' })).toMatchObject({ ok: true });
    }
  });

  it('keeps connections that are older than its hooks', async () => {
    await frontend.ask({ op: 'open', connection: 'old', host: backend.address, port: 8080 });
    await enforcer.apply(desired(SHOP));
    expect(await frontend.ask({ op: 'exchange', connection: 'old' })).toMatchObject({ ok: true });
  });

  it('enforces on without the process that set it up, and the next one reads the state back from the kernel', async () => {
    const state = desired(SHOP);
    await enforcer.apply(state);
    await enforcer.close();
    expect(await frontend.ask({ op: 'tcp', host: backend.address, port: 8080 })).toMatchObject({ ok: true });
    expect(await frontend.ask({ op: 'tcp', host: db.address, port: 5432, timeoutMs: 300 })).toMatchObject({ ok: false });
    enforcer = createKernelEnforcer(options);
    expect(await enforcer.adopt()).toEqual({
      contentDigest: state.contentDigest,
      generation: state.generation,
      policyRevision: revision,
      identityRevision: revision,
      endpoints: endpoints.map(({ key }) => ({ key, protected: true })),
    });
  });

  it('leaves the old state in force when a new program does not load', async () => {
    const state = desired(SHOP);
    await enforcer.apply(state);
    const broken = { name: 'endpoint', sha256: 'ff'.repeat(32), bytes: object.subarray(0, 5000) };
    await expect(enforcer.apply(desired({}, { programs: [broken] }))).rejects.toMatchObject({ code: 'kernel.load-failed' });
    expect((await enforcer.running()).contentDigest).toBe(state.contentDigest);
    expect(await frontend.ask({ op: 'tcp', host: db.address, port: 5432, timeoutMs: 300 })).toMatchObject({ ok: false });
  });

  it('passes everything while disabled and enforces again after', async () => {
    await enforcer.apply(desired(SHOP));
    await enforcer.disable();
    expect((await enforcer.running()).endpoints[0]).toMatchObject({ protected: false });
    expect(await frontend.ask({ op: 'tcp', host: db.address, port: 5432 })).toMatchObject({ ok: true });
    await enforcer.enable();
    expect(await frontend.ask({ op: 'tcp', host: db.address, port: 5432, timeoutMs: 300 })).toMatchObject({ ok: false });
  });

  it('reports an endpoint whose interface does not exist as unprotected', async () => {
    const missing: LocalEndpoint = { key: 'pod/shop/missing', slot: 9, attach: { kind: 'interface', ifname: 'nowhere0' }, network: 'default', addresses: [] };
    const state = await enforcer.apply(desired(SHOP, { endpoints: [...endpoints, missing] }));
    expect(state.endpoints).toContainEqual({ key: missing.key, protected: false, reason: expect.stringContaining('nowhere0') });
    expect(state.endpoints).toContainEqual({ key: 'pod/shop/backend', protected: true });
  });

  it('tells the counters of a connection in steps that add up', async () => {
    await enforcer.apply(desired({}));
    await frontend.ask({ op: 'open', connection: 'counted', host: backend.address, port: 8080 });
    for (let round = 0; round < 5; round += 1) await frontend.ask({ op: 'exchange', connection: 'counted' });
    const told: KernelFlowEvent[] = [...(await events())];
    for (let round = 0; round < 5; round += 1) await frontend.ask({ op: 'exchange', connection: 'counted' });
    // The last acknowledgement may still be on its way when the answer is in.
    await expect.poll(async () => (told.push(...(await events())), (await events()).length)).toBe(0);
    const seenBy = (slot: number): KernelFlowEvent[] => told.filter((event) => event.endpointSlot === slot && event.protocol === 6);
    const sums = (list: readonly KernelFlowEvent[]): bigint[] => [
      list.reduce((sum, event) => sum + event.packets, 0n),
      list.reduce((sum, event) => sum + event.replyPackets, 0n),
      list.reduce((sum, event) => sum + event.bytes + event.replyBytes, 0n),
    ];
    expect(seenBy(1)[0]?.event).toBe('new');
    expect(seenBy(1).length).toBeGreaterThanOrEqual(3);
    expect(sums(seenBy(1))).toEqual(sums(seenBy(2)));
    expect(sums(seenBy(1))[1]).toBeGreaterThanOrEqual(11n);
  });

  it('reports where a shadow policy would have decided otherwise, and only there', async () => {
    await enforcer.apply(desired({}, { shadow: resolvedNode(SHOP, addresses) }));
    await frontend.ask({ op: 'tcp', host: backend.address, port: 8080 });
    expect(await frontend.ask({ op: 'tcp', host: db.address, port: 5432 })).toMatchObject({ ok: true });
    const seen = (await events()).filter((event) => event.direction === 'egress' && event.event === 'new');
    expect(seen.find((event) => event.destination === backend.address)).not.toHaveProperty('shadowVerdict');
    expect(seen.find((event) => event.destination === db.address)).toMatchObject({ verdict: 'forwarded', shadowVerdict: 'dropped', shadowRuleId: 3 });
  });

  it('names the process that opened a connection, direct and through a service', async () => {
    await enforcer.apply(desired(SHOP));
    await frontend.ask({ op: 'tcp', host: backend.address, port: 8080 });
    await frontend.ask({ op: 'tcp', host: SERVICE, port: 80 });
    await frontend.ask({ op: 'tcp', host: db.address, port: 5432, timeoutMs: 300 });
    const own = (await events()).filter((event) => event.direction === 'egress' && event.source === frontend.address && event.event !== 'delta');
    const processes = own.map((event) => [event.destination, event.pid, event.uid]);
    for (const destination of [backend.address, db.address]) expect(processes).toContainEqual([destination, frontend.pid, 0]);
    expect(own.find((event) => event.serviceAddress === SERVICE)?.pid).toBe(frontend.pid);
    expect(own[0]?.command).not.toBe('');
  });

  it('lets audited traffic pass and says what would have dropped it', async () => {
    await enforcer.apply(desired({ 'pod/shop/frontend': [entry('egress', 0, 0, 0, 'audit', 3)] }));
    expect(await frontend.ask({ op: 'tcp', host: db.address, port: 5432 })).toMatchObject({ ok: true });
    expect(await events()).toContainEqual(expect.objectContaining({ event: 'new', direction: 'egress', verdict: 'audit', dropReason: 1, ruleId: 3 }));
    expect((await enforcer.counters()).auditedPackets).toBeGreaterThan(0n);
  });

  it('enforces without the newer kernel features; services are then judged by their own address', async () => {
    await enforcer.uninstall();
    enforcer = createKernelEnforcer({ ...options, kernel: new NativeKernel(undefined, ['netfilter-link', 'tracepoint']) });
    expect((await enforcer.features()).features).toMatchObject({ 'netfilter-link': false, tracepoint: false, ringbuf: true });
    await enforcer.apply(desired(SHOP));
    expect(await frontend.ask({ op: 'tcp', host: backend.address, port: 8080 })).toMatchObject({ ok: true });
    expect(await frontend.ask({ op: 'tcp', host: db.address, port: 5432, timeoutMs: 300 })).toMatchObject({ ok: false });
    expect(await frontend.ask({ op: 'tcp', host: SERVICE, port: 80, timeoutMs: 300 })).toMatchObject({ ok: false });
    expect(await events()).toContainEqual(expect.objectContaining({ event: 'dropped', destination: SERVICE, destinationPort: 80, ruleId: 3 }));
  });

  it('changes nothing when the same state is applied again', async () => {
    const state = desired(SHOP);
    await enforcer.apply(state);
    await enforcer.apply(state);
    await frontend.ask({ op: 'tcp', host: backend.address, port: 8080 });
    const generations = new Set((await events()).map((event) => event.datapathGeneration));
    expect(generations).toEqual(new Set([1]));
  });
});
