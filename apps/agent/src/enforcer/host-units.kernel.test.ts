import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { KernelFlowEvent, LocalEndpoint } from '@palisade/dataplane';
import { cgroup2Mount } from '@palisade/kernel';
import type { PolicyEntry } from '@palisade/policy';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DesiredState, Enforcer } from './enforcer.ts';
import { createKernelEnforcer } from './kernel-enforcer.ts';
import { OBJECT_PATH, kernelUnavailable } from './testing/kernel-available.ts';
import { entry, resolvedNode } from './testing/resolved-fixture.ts';
import { TestCgroups } from './testing/test-cgroups.ts';
import { TestNetwork, TestPod } from './testing/test-network.ts';

const unavailable = kernelUnavailable() ?? (cgroup2Mount() === undefined ? 'Tests of host units are skipped: cgroup v2 is not mounted.' : undefined);
if (unavailable) console.warn(unavailable);

const UNIT = 'host/unit/subject.service';
const BACKEND = 12;
const DB = 13;
const SERVICE = '10.96.0.10';

describe.skipIf(unavailable)('host units in cgroup v2', () => {
  const network = new TestNetwork(['backend', 'db']);
  const object = unavailable ? new Uint8Array() : readFileSync(OBJECT_PATH);
  const programs = [{ name: 'endpoint', sha256: createHash('sha256').update(object).digest('hex'), bytes: object }];
  const [backend, db] = [network.pod('backend'), network.pod('db')];
  // Processes on the node itself: one in the unit's cgroup, one outside of it.
  const unit = new TestPod('unit', network.node, '', 0);
  const other = new TestPod('other', network.node, '', 0);
  const nodeAddress = backend.address.replace(/\.10$/, '.1');
  const nodeAddress6 = backend.address6.replace(/10$/, '1');
  const addresses = [
    { cidr: `${backend.address}/32`, peerClass: BACKEND, identity: 1001 },
    { cidr: `${backend.address6}/128`, peerClass: BACKEND, identity: 1001 },
    { cidr: `${db.address}/32`, peerClass: DB, identity: 1002 },
    { cidr: `${db.address6}/128`, peerClass: DB, identity: 1002 },
  ];
  let cgroups: TestCgroups;
  let path: string;
  let enforcer: Enforcer;
  let revision = 0;
  let resolvers: readonly string[] = [];

  const endpoints = (): LocalEndpoint[] => [{ key: UNIT, slot: 1, attach: { kind: 'cgroup', path }, network: 'default', addresses: [] }];
  const desired = (policies: Readonly<Record<string, readonly PolicyEntry[]>>, more: Partial<DesiredState> = {}): DesiredState => {
    revision += 1;
    return {
      contentDigest: `sha256:${revision}`, generation: `1.${revision}`, programs, resolved: resolvedNode(policies, addresses, revision), endpoints: endpoints(),
      services: [{ network: 'default', address: SERVICE, port: 80, protocol: 6 }, { network: 'default', address: SERVICE, port: 53, protocol: 17 }], ...more,
    };
  };
  /** The unit may reach the backend on TCP 8080 and UDP 9000, and be reached by it on TCP 7000. */
  const POLICY = {
    [UNIT]: [
      entry('egress', 0, 0, 0, 'deny', 1), entry('egress', BACKEND, 6, 8080, 'allow', 2), entry('egress', BACKEND, 17, 9000, 'allow', 4),
      entry('ingress', 0, 0, 0, 'deny', 3), entry('ingress', BACKEND, 6, 7000, 'allow', 6),
    ],
  };
  const events = (): Promise<readonly KernelFlowEvent[]> => enforcer.drain(100_000);

  beforeAll(async () => {
    network.create();
    cgroups = new TestCgroups(network.id);
    path = cgroups.unit('subject.service');
    unit.start(path);
    other.start();
    network.onNode('ip', 'route', 'add', `${SERVICE}/32`, 'via', backend.address);
    network.onNode('nft', 'add table ip services; add chain ip services output { type nat hook output priority -100 ; }');
    network.onNode('nft', 'add', 'rule', 'ip', 'services', 'output', 'ip', 'daddr', SERVICE, 'tcp', 'dport', '80', 'dnat', 'to', `${backend.address}:8080`);
    network.onNode('nft', 'add', 'rule', 'ip', 'services', 'output', 'ip', 'daddr', SERVICE, 'udp', 'dport', '53', 'dnat', 'to', `${backend.address}:9000`);
    for (const pod of network.pods) {
      for (const port of [8080, 5432]) await pod.ask({ op: 'listen-tcp', port });
      for (const port of [53, 9000]) await pod.ask({ op: 'listen-udp', port });
    }
    for (const port of [7000, 7001]) await unit.ask({ op: 'listen-tcp', port });
    await unit.ask({ op: 'listen-udp', port: 7000 });
  });
  afterAll(async () => {
    await enforcer.uninstall();
    await unit.stop();
    await other.stop();
    await network.remove();
    cgroups.remove();
  });
  beforeEach(() => {
    resolvers = [];
    enforcer = createKernelEnforcer({ pinRoot: `/sys/fs/bpf/palisade/host-${network.id}`, networkNamespace: network.nodePath, deltaIntervalMs: 0, adoptionMs: 0, lifelines: () => resolvers });
  });
  // Programs stay loaded between tests: verifying them is what takes the time.
  afterEach(() => enforcer.close());

  it.each([['IPv4', () => backend.address, () => db.address], ['IPv6', () => backend.address6, () => db.address6]])('enforces egress over %s; a denied connect fails at once', async (_family, allowed, denied) => {
    expect((await enforcer.apply(desired(POLICY))).endpoints).toEqual([{ key: UNIT, protected: true }]);
    expect(await unit.ask({ op: 'tcp', host: allowed(), port: 8080 })).toMatchObject({ ok: true });
    expect(await unit.ask({ op: 'udp', host: allowed(), port: 9000 })).toMatchObject({ ok: true });
    // EACCES, not a time-out.
    expect(await unit.ask({ op: 'tcp', host: denied(), port: 5432, timeoutMs: 5000 })).toMatchObject({ ok: false, detail: expect.stringContaining('EACCES') });
    expect(await unit.ask({ op: 'udp', host: denied(), port: 9000, timeoutMs: 5000 })).toMatchObject({ ok: false, detail: expect.stringContaining('EPERM') });
    const seen = await events();
    expect(seen).toContainEqual(expect.objectContaining({ event: 'new', direction: 'egress', destination: allowed(), destinationPort: 8080, ruleId: 2, endpointSlot: 1, peerIdentity: 1001 }));
    expect(seen).toContainEqual(expect.objectContaining({ event: 'dropped', direction: 'egress', destination: denied(), destinationPort: 5432, protocol: 6, ruleId: 1, dropReason: 1 }));
    expect(seen).toContainEqual(expect.objectContaining({ event: 'dropped', direction: 'egress', destination: denied(), destinationPort: 9000, protocol: 17, ruleId: 1 }));
    expect((await enforcer.counters()).droppedPackets).toBeGreaterThanOrEqual(2n);
  });

  it.each([['IPv4', nodeAddress], ['IPv6', nodeAddress6]])('enforces ingress over %s and lets answers out', async (_family, address) => {
    await enforcer.apply(desired(POLICY));
    expect(await backend.ask({ op: 'tcp', host: address, port: 7000 })).toMatchObject({ ok: true });
    expect(await backend.ask({ op: 'tcp', host: address, port: 7001, timeoutMs: 300 })).toMatchObject({ ok: false, detail: 'timeout' });
    expect(await db.ask({ op: 'udp', host: address, port: 7000, timeoutMs: 300 })).toMatchObject({ ok: false, detail: 'timeout' });
    expect(await events()).toContainEqual(expect.objectContaining({ event: 'new', direction: 'ingress', destinationPort: 7000, ruleId: 6 }));
  });

  it('restricts nobody outside of the cgroup, and nothing that stays on the node', async () => {
    await enforcer.apply(desired(POLICY));
    expect(await other.ask({ op: 'tcp', host: db.address, port: 5432 })).toMatchObject({ ok: true });
    expect(await other.ask({ op: 'tcp', host: '127.0.0.1', port: 7001 })).toMatchObject({ ok: true });
    expect(await unit.ask({ op: 'tcp', host: '127.0.0.1', port: 7000 })).toMatchObject({ ok: true });
    expect(await unit.ask({ op: 'tcp', host: '::1', port: 7001 })).toMatchObject({ ok: true });
  });

  it('decides egress to a service on the backend, connected or not, and admits the answers', async () => {
    await enforcer.apply(desired(POLICY));
    expect(await unit.ask({ op: 'tcp', host: SERVICE, port: 80 })).toMatchObject({ ok: true });
    expect(await unit.ask({ op: 'udp', host: SERVICE, port: 53 })).toMatchObject({ ok: true });
    expect(await events()).toContainEqual(expect.objectContaining({ event: 'new', direction: 'egress', destination: backend.address, destinationPort: 8080, serviceAddress: SERVICE, servicePort: 80, ruleId: 2 }));
    await enforcer.apply(desired({ [UNIT]: [entry('egress', 0, 0, 0, 'deny', 1), entry('egress', DB, 0, 0, 'allow', 2)] }));
    expect(await unit.ask({ op: 'tcp', host: SERVICE, port: 80, timeoutMs: 500 })).toMatchObject({ ok: false });
    expect(await unit.ask({ op: 'udp', host: SERVICE, port: 53, timeoutMs: 500 })).toMatchObject({ ok: false });
    expect(await events()).toContainEqual(expect.objectContaining({ event: 'dropped', destination: backend.address, destinationPort: 8080, serviceAddress: SERVICE, ruleId: 1 }));
  });

  it('cuts an open connection when the policy denies it, and reports what a shadow policy would have done', async () => {
    await enforcer.apply(desired({}, { shadow: resolvedNode(POLICY, addresses) }));
    expect(await unit.ask({ op: 'tcp', host: db.address, port: 5432 })).toMatchObject({ ok: true });
    expect(await events()).toContainEqual(expect.objectContaining({ event: 'new', destination: db.address, verdict: 'forwarded', shadowVerdict: 'dropped', shadowRuleId: 1 }));
    await unit.ask({ op: 'open', connection: 'open', host: backend.address, port: 5432 });
    expect(await unit.ask({ op: 'exchange', connection: 'open' })).toMatchObject({ ok: true });
    await enforcer.apply(desired(POLICY));
    expect(await unit.ask({ op: 'exchange', connection: 'open', timeoutMs: 300 })).toMatchObject({ ok: false });
  });

  it('always reaches the resolvers of the node', async () => {
    await enforcer.apply(desired(POLICY));
    expect(await unit.ask({ op: 'udp', host: db.address, port: 53, timeoutMs: 300 })).toMatchObject({ ok: false });
    resolvers = [db.address, backend.address6];
    await enforcer.apply(desired(POLICY));
    expect(await unit.ask({ op: 'udp', host: db.address, port: 53 })).toMatchObject({ ok: true });
    expect(await unit.ask({ op: 'udp', host: db.address, port: 9000, timeoutMs: 300 })).toMatchObject({ ok: false });
  });

  it('enforces on without the agent, takes over, and passes everything under break-glass', async () => {
    await enforcer.apply(desired(POLICY));
    await enforcer.close();
    expect(await unit.ask({ op: 'tcp', host: db.address, port: 5432, timeoutMs: 2000 })).toMatchObject({ ok: false });
    expect((await enforcer.adopt()).endpoints).toEqual([{ key: UNIT, protected: true }]);
    await enforcer.disable();
    expect((await enforcer.running()).endpoints[0]).toMatchObject({ protected: false, reason: expect.stringContaining('break-glass') });
    expect(await unit.ask({ op: 'tcp', host: db.address, port: 5432 })).toMatchObject({ ok: true });
    expect(await db.ask({ op: 'udp', host: nodeAddress, port: 7000 })).toMatchObject({ ok: true });
    await enforcer.enable();
    expect(await unit.ask({ op: 'tcp', host: db.address, port: 5432, timeoutMs: 2000 })).toMatchObject({ ok: false });
  });

  it('reports a unit whose cgroup is gone, and attaches to its next one', async () => {
    const passing = cgroups.unit('passing.service');
    const at = (): LocalEndpoint[] => [...endpoints(), { key: 'host/unit/passing.service', slot: 2, attach: { kind: 'cgroup', path: passing }, network: 'default', addresses: [] }];
    const state = desired(POLICY, { endpoints: at() });
    expect((await enforcer.apply(state)).endpoints).toEqual([{ key: UNIT, protected: true }, { key: 'host/unit/passing.service', protected: true }]);
    cgroups.removeUnit(passing);
    expect((await enforcer.apply(state)).endpoints[1]).toMatchObject({ protected: false, reason: expect.stringContaining('there is no cgroup') });
    cgroups.unit('passing.service');
    expect((await enforcer.apply(state)).endpoints[1]).toEqual({ key: 'host/unit/passing.service', protected: true });
  });

  it.each([
    ['the root', () => cgroup2Mount() ?? '', /root cgroup/],
    ['a path outside', () => '/../../tmp', /does not lie in cgroup v2|root cgroup/],
    ['a cgroup that does not exist', () => 'nowhere.slice/x.service', /no cgroup/],
  ])('attaches nothing to %s and says why', async (_what, where, reason) => {
    const state = await enforcer.apply(desired(POLICY, { endpoints: [{ key: UNIT, slot: 1, attach: { kind: 'cgroup', path: where() }, network: 'default', addresses: [] }] }));
    expect(state.endpoints[0]).toMatchObject({ key: UNIT, protected: false, reason: expect.stringMatching(reason) });
    expect(await unit.ask({ op: 'tcp', host: db.address, port: 5432 })).toMatchObject({ ok: true });
  });
});
