import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { KernelFlowEvent, ServiceAddress } from '@palisade/dataplane';
import { DROP_REASON } from '@palisade/flow';
import type { FqdnSelector, L7RuleSet, PolicyEntry } from '@palisade/policy';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Enforcer } from './enforcer.ts';
import { createKernelEnforcer } from './kernel-enforcer.ts';
import { dnsMessage } from './testing/dns-message.ts';
import type { HostAnswer } from './testing/namespace-host.ts';
import { OBJECT_PATH, kernelUnavailable } from './testing/kernel-available.ts';
import { entry, resolvedNode } from './testing/resolved-fixture.ts';
import { TestNetwork, type TestPod } from './testing/test-network.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const CLIENT = 11;
const BACKEND = 12;
const NODE = 13;
const OUTSIDE = 14;
const NODE_PORT = 30_080;
const PORT = 8080;
const OTHER_PORT = 9000;
const RESOLVER_SERVICE = '10.96.0.10';
const RESOLVER_PORT = 5353;

/** Real translation rules on the node, as kube-proxy and masquerading make them. */
describe.skipIf(unavailable)('policy and address translation', () => {
  const network = new TestNetwork(['client', 'backend', 'outside']);
  const bytes = unavailable ? new Uint8Array() : readFileSync(OBJECT_PATH);
  const programs = [{ name: 'endpoint', sha256: createHash('sha256').update(bytes).digest('hex'), bytes }];
  const options = { pinRoot: `/sys/fs/bpf/palisade/test-${network.id}`, networkNamespace: network.nodePath, deltaIntervalMs: 0 };
  const [client, backend, outside] = [network.pod('client'), network.pod('backend'), network.pod('outside')];
  /** The node's own addresses, one for each pod's network. */
  const gatewayOf = (address: string): string => address.replace(/\.10$/, '.1');
  const nodeAddress = gatewayOf(client.address);
  const addresses = [
    { cidr: `${client.address}/32`, peerClass: CLIENT, identity: 1000 },
    { cidr: `${backend.address}/32`, peerClass: BACKEND, identity: 1001 },
    ...[client, backend, outside].map(({ address }) => ({ cidr: `${gatewayOf(address)}/32`, peerClass: NODE, identity: 1 })),
    { cidr: `${outside.address}/32`, peerClass: OUTSIDE, identity: 2 },
  ];
  const SERVICES: readonly ServiceAddress[] = [
    { network: 'default', address: nodeAddress, port: NODE_PORT, protocol: 6 },
    { network: 'default', address: RESOLVER_SERVICE, port: 53, protocol: 17 },
  ];
  let enforcer: Enforcer;
  let revision = 0;

  /** Client and backend are endpoints of this node, `outside` is any host. */
  async function apply(policies: { readonly client?: readonly PolicyEntry[]; readonly backend?: readonly PolicyEntry[] }, l7Rules: readonly L7RuleSet[] = [], services: readonly ServiceAddress[] = SERVICES): Promise<void> {
    revision += 1;
    const endpoints = [client, backend].map((pod, at) => ({
      key: `pod/shop/${pod.name}`, slot: at + 1, attach: { kind: 'interface' as const, ifname: pod.ifname }, network: 'default', addresses: [pod.address],
    }));
    await enforcer.apply({
      contentDigest: `${revision}`, generation: `1.${revision}`, programs, endpoints,
      resolved: { ...resolvedNode({ 'pod/shop/client': policies.client ?? [], 'pod/shop/backend': policies.backend ?? [] }, addresses, revision), l7Rules },
      services,
    });
    await enforcer.drain(100_000);
  }
  const events = (): Promise<readonly KernelFlowEvent[]> => enforcer.drain(100_000);
  const denyOut = entry('egress', 0, 0, 0, 'deny', 1);
  const denyIn = entry('ingress', 0, 0, 0, 'deny', 3);

  beforeAll(async () => {
    network.create();
    const nft = (...words: string[]): string => network.onNode('nft', ...words);
    nft('add', 'table', 'ip', 'proxy');
    nft('add', 'chain', 'ip', 'proxy', 'prerouting', '{ type nat hook prerouting priority -100 ; }');
    nft('add', 'chain', 'ip', 'proxy', 'postrouting', '{ type nat hook postrouting priority 100 ; }');
    nft('add', 'rule', 'ip', 'proxy', 'prerouting', 'fib', 'daddr', 'type', 'local', 'tcp', 'dport', String(NODE_PORT), 'meta', 'mark', 'set', 'meta', 'mark', '|', '0x4000', 'dnat', 'to', `${backend.address}:${PORT}`);
    // What entered through a node port leaves with the node's address, as kube-proxy does for externalTrafficPolicy: Cluster.
    nft('add', 'rule', 'ip', 'proxy', 'postrouting', 'meta', 'mark', '&', '0x4000', '==', '0x4000', 'masquerade');
    // Pods reach the outside with the node's address.
    nft('add', 'rule', 'ip', 'proxy', 'postrouting', 'ip', 'saddr', client.address, 'ip', 'daddr', outside.address, 'masquerade');
    nft('add', 'rule', 'ip', 'proxy', 'prerouting', 'ip', 'daddr', RESOLVER_SERVICE, 'udp', 'dport', '53', 'dnat', 'to', `${backend.address}:${RESOLVER_PORT}`);
    await backend.ask({ op: 'listen-udp', port: RESOLVER_PORT });
    for (const port of [PORT, OTHER_PORT]) for (const pod of [backend, outside]) await pod.ask({ op: 'listen-tcp', port });
    await outside.ask({ op: 'listen-udp', port: OTHER_PORT });
  });
  afterAll(() => network.remove());
  beforeEach(() => {
    enforcer = createKernelEnforcer(options);
  });
  afterEach(() => enforcer.uninstall());

  describe('through a node port', () => {
    it('decides a pod’s egress on the backend', async () => {
      await apply({ client: [denyOut, entry('egress', BACKEND, 6, PORT, 'allow', 2)] });
      expect(await client.ask({ op: 'tcp', host: nodeAddress, port: NODE_PORT })).toMatchObject({ ok: true });
      expect(await events()).toContainEqual(
        expect.objectContaining({ event: 'new', direction: 'egress', destination: backend.address, destinationPort: PORT, serviceAddress: nodeAddress, servicePort: NODE_PORT, ruleId: 2 }),
      );
      await apply({ client: [denyOut, entry('egress', NODE, 6, NODE_PORT, 'allow', 4)] });
      expect(await client.ask({ op: 'tcp', host: nodeAddress, port: NODE_PORT, timeoutMs: 400 })).toMatchObject({ ok: false });
      expect(await events()).toContainEqual(expect.objectContaining({ event: 'dropped', direction: 'egress', destination: backend.address, destinationPort: PORT, ruleId: 1 }));
    });
    it('decides on the backend of a connection that is older than the first policy on egress, where no service is known', async () => {
      const atNode = entry('egress', NODE, 6, NODE_PORT, 'allow', 4);
      await apply({}, [], []);
      await client.ask({ op: 'open', connection: 'old', host: nodeAddress, port: NODE_PORT });
      expect(await client.ask({ op: 'exchange', connection: 'old' })).toMatchObject({ ok: true });
      await apply({ client: [denyOut, atNode, entry('egress', BACKEND, 6, PORT, 'allow', 2)] }, [], []);
      expect(await client.ask({ op: 'exchange', connection: 'old' })).toMatchObject({ ok: true });
      await apply({ client: [denyOut, atNode] }, [], []);
      expect(await client.ask({ op: 'exchange', connection: 'old', timeoutMs: 400 })).toMatchObject({ ok: false });
    });
    it('judges what comes from outside at the backend, by the address that the backend sees', async () => {
      await apply({ backend: [denyIn, entry('ingress', NODE, 6, PORT, 'allow', 6)] });
      expect(await outside.ask({ op: 'tcp', host: gatewayOf(outside.address), port: NODE_PORT })).toMatchObject({ ok: true });
      expect(await events()).toContainEqual(expect.objectContaining({ event: 'new', direction: 'ingress', destination: backend.address, destinationPort: PORT, peerIdentity: 1, ruleId: 6 }));
      await apply({ backend: [denyIn, entry('ingress', OUTSIDE, 6, PORT, 'allow', 8)] });
      expect(await outside.ask({ op: 'tcp', host: gatewayOf(outside.address), port: NODE_PORT, timeoutMs: 400 })).toMatchObject({ ok: false });
    });
  });

  describe('rules on DNS towards a service', () => {
    const question = (name: string): Promise<HostAnswer> =>
      client.ask({ op: 'udp', host: RESOLVER_SERVICE, port: 53, timeoutMs: 500, payload: Buffer.from(dnsMessage({ id: 9, name })).toString('base64') });
    const rules = (dns: readonly FqdnSelector[]): Promise<void> =>
      apply({ client: [denyOut, denyIn, { ...entry('egress', BACKEND, 17, RESOLVER_PORT, 'l7', 2), l7: 0 }] }, [{ mode: 'hard', dns }]);
    it('judge the question by the backend’s rules', async () => {
      await rules([{ kind: 'pattern', value: '*.example.org' }]);
      expect([(await question('www.example.org')).ok, (await question('evil.test')).ok, (await question('www.example.org')).ok]).toEqual([true, false, true]);
      const seen = await events();
      expect(seen).toContainEqual(expect.objectContaining({ event: 'new', verdict: 'forwarded', destination: backend.address, destinationPort: RESOLVER_PORT, serviceAddress: RESOLVER_SERVICE, ruleId: 2 }));
      expect(seen).toContainEqual(expect.objectContaining({ event: 'dropped', dropReason: DROP_REASON['l7-denied'], destination: backend.address, destinationPort: RESOLVER_PORT, ruleId: 2 }));
      expect(seen).toContainEqual(expect.objectContaining({ event: 'dns', verdict: 'dropped', dns: expect.objectContaining({ kind: 'refused', message: expect.objectContaining({ name: 'evil.test' }) }) }));
      expect(seen).toContainEqual(expect.objectContaining({
        event: 'dns', verdict: 'forwarded', destination: backend.address, destinationPort: RESOLVER_PORT, serviceAddress: RESOLVER_SERVICE, servicePort: 53,
        dns: expect.objectContaining({ kind: 'answer', message: expect.objectContaining({ name: 'www.example.org' }) }),
      }));
    });
    it('say what was asked where the backend may not be reached at all', async () => {
      await apply({ client: [denyOut, denyIn] });
      expect(await question('evil.test')).toMatchObject({ ok: false });
      expect(await events()).toContainEqual(expect.objectContaining({ event: 'dns', dns: expect.objectContaining({ kind: 'refused', message: expect.objectContaining({ name: 'evil.test' }) }) }));
    });
    describe('whose backends are known', () => {
      const kind = (pod: TestPod) => ({ address: pod.address, port: RESOLVER_PORT });
      const resolver = (...pods: TestPod[]): ServiceAddress[] => [{ network: 'default', address: RESOLVER_SERVICE, port: 53, protocol: 17, backends: pods.map(kind) }];
      const dig = (name: string): string => {
        try {
          return client.run('dig', `@${RESOLVER_SERVICE}`, '+tries=1', '+time=1', name);
        } catch (error) {
          return String((error as { stdout?: string }).stdout);
        }
      };
      const onExample: readonly L7RuleSet[] = [{ mode: 'hard', dns: [{ kind: 'pattern', value: '*.example.org' }] }];
      const toBackend: PolicyEntry = { ...entry('egress', BACKEND, 17, RESOLVER_PORT, 'l7', 2), l7: 0 };

      it('answer REFUSED at once, in the service’s name, and tell the backend', async () => {
        await apply({ client: [denyOut, denyIn, toBackend] }, onExample, resolver(backend));
        expect(dig('evil.test')).toMatch(/status: REFUSED/);
        const seen = await events();
        expect(seen).toContainEqual(expect.objectContaining({
          event: 'dropped', dropReason: DROP_REASON['l7-denied'], destination: backend.address, destinationPort: RESOLVER_PORT, serviceAddress: RESOLVER_SERVICE, servicePort: 53, ruleId: 2,
        }));
        expect(seen).toContainEqual(expect.objectContaining({ event: 'dns', verdict: 'dropped', dns: expect.objectContaining({ kind: 'refused', message: expect.objectContaining({ name: 'evil.test' }) }) }));
        expect(await question('www.example.org')).toMatchObject({ ok: true });
      });
      it('answer REFUSED where no backend may be reached', async () => {
        await apply({ client: [denyOut, denyIn] }, [], resolver(backend, outside));
        expect(dig('www.example.org')).toMatch(/status: REFUSED/);
      });
      it('leave it to the translation where one kind of backend would be asked', async () => {
        await apply({ client: [denyOut, denyIn, entry('egress', OUTSIDE, 17, RESOLVER_PORT, 'allow', 4)] }, [], resolver(backend, outside));
        expect(dig('evil.test')).not.toMatch(/REFUSED/);
        expect(await events()).toContainEqual(expect.objectContaining({ event: 'dropped', destination: backend.address, destinationPort: RESOLVER_PORT }));
      });
    });
    it('let every question pass where any name may be asked for', async () => {
      await rules([{ kind: 'pattern', value: '*' }]);
      expect(await question('evil.test')).toMatchObject({ ok: true });
    });
  });

  describe('through masquerading', () => {
    it('judges a pod’s egress before its source is translated, and admits the replies', async () => {
      await apply({ client: [denyOut, denyIn, entry('egress', OUTSIDE, 6, PORT, 'allow', 2), entry('egress', OUTSIDE, 17, OTHER_PORT, 'allow', 4)] });
      expect(await client.ask({ op: 'tcp', host: outside.address, port: PORT })).toMatchObject({ ok: true });
      expect(await client.ask({ op: 'udp', host: outside.address, port: OTHER_PORT })).toMatchObject({ ok: true });
      expect(await events()).toContainEqual(expect.objectContaining({ event: 'new', direction: 'egress', source: client.address, destination: outside.address, ruleId: 2 }));
      expect(await client.ask({ op: 'tcp', host: outside.address, port: OTHER_PORT, timeoutMs: 400 })).toMatchObject({ ok: false });
    });
  });

  describe('path MTU discovery', () => {
    it('works for an isolated pod: a router’s “fragmentation needed” comes through and large data arrives', async () => {
      await apply({ client: [denyOut, denyIn, entry('egress', OUTSIDE, 6, PORT, 'allow', 2)] });
      network.onNode('ip', 'link', 'set', outside.ifname, 'mtu', '1280');
      try {
        // Sizes that no segment offload hides: more than the small link takes at once.
        expect(await client.ask({ op: 'tcp', host: outside.address, port: PORT, bytes: 200_000, timeoutMs: 10_000 })).toMatchObject({ ok: true, detail: '200000' });
        expect(client.run('ip', 'route', 'get', outside.address)).toContain('mtu 1280');
      } finally {
        network.onNode('ip', 'link', 'set', outside.ifname, 'mtu', '1500');
      }
    });
  });
});
