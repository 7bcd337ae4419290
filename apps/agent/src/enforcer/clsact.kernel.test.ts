import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { LocalEndpoint } from '@palisade/dataplane';
import { NativeKernel } from '@palisade/kernel';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DesiredState, Enforcer } from './enforcer.ts';
import { createKernelEnforcer } from './kernel-enforcer.ts';
import { OBJECT_PATH, kernelUnavailable } from './testing/kernel-available.ts';
import { entry, resolvedNode } from './testing/resolved-fixture.ts';
import { TestNetwork } from './testing/test-network.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const DB = 13;

describe.skipIf(unavailable)('interfaces whose chains others use too', () => {
  const network = new TestNetwork(['frontend', 'db']);
  const object = unavailable ? new Uint8Array() : readFileSync(OBJECT_PATH);
  const programs = [{ name: 'endpoint', sha256: createHash('sha256').update(object).digest('hex'), bytes: object }];
  const [frontend, db] = [network.pod('frontend'), network.pod('db')];
  const endpoints: LocalEndpoint[] = [{ key: 'pod/shop/frontend', slot: 1, attach: { kind: 'interface', ifname: frontend.ifname }, network: 'default', addresses: [frontend.address] }];
  const addresses = [{ cidr: `${db.address}/32`, peerClass: DB, identity: 1002 }];
  const POLICY = { 'pod/shop/frontend': [entry('egress', 0, 0, 0, 'deny', 1), entry('egress', DB, 6, 8080, 'allow', 2), entry('egress', DB, 17, 9000, 'allow', 4)] };
  const pinRoot = `/sys/fs/bpf/palisade/clsact-${network.id}`;
  let enforcer: Enforcer;
  let revision = 0;

  const open = (...without: string[]): Enforcer =>
    createKernelEnforcer({ pinRoot, networkNamespace: network.nodePath, kernel: new NativeKernel(undefined, without), deltaIntervalMs: 0, adoptionMs: 0 });
  const desired = (more: Partial<DesiredState> = {}): DesiredState => {
    revision += 1;
    return { contentDigest: `sha256:${revision}`, generation: `1.${revision}`, programs, resolved: resolvedNode(POLICY, addresses, revision), endpoints, ...more };
  };
  const enforces = async (): Promise<void> => {
    expect(await frontend.ask({ op: 'tcp', host: db.address, port: 8080 })).toMatchObject({ ok: true });
    expect(await frontend.ask({ op: 'tcp', host: db.address, port: 9000, timeoutMs: 300 })).toMatchObject({ ok: false });
  };
  /** Policy allows UDP, another owner's filter further down the chain drops it: that filter still runs. */
  const runsTheOther = async (): Promise<void> => {
    expect(await frontend.ask({ op: 'udp', host: db.address, port: 9000, timeoutMs: 300 })).toMatchObject({ ok: false, detail: 'timeout' });
    other('del');
    expect(await frontend.ask({ op: 'udp', host: db.address, port: 9000 })).toMatchObject({ ok: true });
    other('add');
  };
  /** Classic BPF: byte 23, the protocol, is 17 → 2 (TC_ACT_SHOT), else -1 (the next filter). */
  const other = (act: 'add' | 'del'): string =>
    network.onNode('tc', 'filter', act, 'dev', frontend.ifname, 'ingress', 'prio', '5', ...(act === 'add' ? ['bpf', 'da', 'bytecode', '4,48 0 0 23,21 0 1 17,6 0 0 2,6 0 0 4294967295'] : []));

  beforeAll(async () => {
    network.create();
    for (const port of [8080, 9000]) await db.ask({ op: 'listen-tcp', port });
    network.onNode('tc', 'qdisc', 'add', 'dev', frontend.ifname, 'clsact');
    other('add');
    for (const port of [9000, 9001]) await db.ask({ op: 'listen-udp', port });
  });
  afterAll(() => network.remove());
  beforeEach(() => {
    enforcer = open();
  });
  afterEach(() => enforcer.uninstall());

  it('enforces on TCX beside a filter of another owner, which still sees what passes', async () => {
    expect((await enforcer.apply(desired())).endpoints).toEqual([{ key: 'pod/shop/frontend', protected: true }]);
    await enforces();
    await runsTheOther();
  });

  it('enforces on clsact without TCX, beside that filter, and takes only its own away', async () => {
    enforcer = open('tcx');
    expect((await enforcer.apply(desired())).endpoints).toEqual([{ key: 'pod/shop/frontend', protected: true }]);
    expect(network.onNode('tc', 'filter', 'show', 'dev', frontend.ifname, 'ingress')).toMatch(/from_endpoint/);
    await enforces();
    await runsTheOther();
    await enforcer.close();
    enforcer = open('tcx');
    expect((await enforcer.adopt()).endpoints).toEqual([{ key: 'pod/shop/frontend', protected: true }]);
    await enforcer.uninstall();
    const left = network.onNode('tc', 'filter', 'show', 'dev', frontend.ifname, 'ingress');
    expect(left).toMatch(/pref 5 bpf/);
    expect(left).not.toMatch(/from_endpoint/);
  });

  it('replaces the program on clsact without a packet in between meeting none', async () => {
    enforcer = open('tcx');
    await enforcer.apply(desired());
    other('del'); // it would drop the load itself
    await frontend.ask({ op: 'load', connection: 'denied', host: db.address, port: 9001 });
    // The same programs in an object of another digest: every apply swaps them in place.
    for (let round = 0; round < 4; round += 1) {
      const bytes = Buffer.concat([object, Buffer.alloc(round + 1)]);
      await enforcer.apply(desired({ programs: [{ name: 'endpoint', sha256: createHash('sha256').update(bytes).digest('hex'), bytes }] }));
      await enforces();
    }
    expect(JSON.parse((await frontend.ask({ op: 'stop-load', connection: 'denied' })).detail ?? '{}')).toMatchObject({ answered: 0 });
    other('add');
  });

  it('sees that someone else removed its filter, and puts it back', async () => {
    enforcer = open('tcx');
    const state = desired();
    await enforcer.apply(state);
    network.onNode('tc', 'filter', 'del', 'dev', frontend.ifname, 'ingress', 'prio', '1');
    expect((await enforcer.running()).endpoints[0]).toMatchObject({ protected: false });
    expect((await enforcer.apply(state)).endpoints[0]).toEqual({ key: 'pod/shop/frontend', protected: true });
    await enforces();
  });

  it('enforces with every newer feature masked at once', async () => {
    enforcer = open('tcx', 'netfilter-link', 'tracepoint', 'fentry', 'batch', 'coarse-clock');
    expect((await enforcer.apply(desired())).endpoints).toEqual([{ key: 'pod/shop/frontend', protected: true }]);
    await enforces();
  });
});
