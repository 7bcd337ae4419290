import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { KernelFlowEvent } from '@palisade/dataplane';
import type { PolicyEntry, ResolvedNode } from '@palisade/policy';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Enforcer } from './enforcer.ts';
import { createKernelEnforcer } from './kernel-enforcer.ts';
import { OBJECT_PATH, kernelUnavailable } from './testing/kernel-available.ts';
import { PROTOCOL } from './testing/packet.ts';
import { entry, resolvedNode } from './testing/resolved-fixture.ts';
import { TestNetwork, type TestPod } from './testing/test-network.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const execute = promisify(execFile);
const [WORLD, SERVER, WEB] = [1, 12, 13];
const WEB_PORT = 8080;
const denyAll = [entry('egress', 0, 0, 0, 'deny', 1), entry('ingress', 0, 0, 0, 'deny', 3)];

/** What people try first: ping, dig, iperf3, from a workload that may do just that. */
describe.skipIf(unavailable)('ordinary programs', () => {
  const network = new TestNetwork(['client', 'server', 'web']);
  const [client, server, web] = [network.pod('client'), network.pod('server'), network.pod('web')];
  const bytes = unavailable ? new Uint8Array() : readFileSync(OBJECT_PATH);
  const programs = [{ name: 'endpoint', sha256: createHash('sha256').update(bytes).digest('hex'), bytes }];
  const daemons: ChildProcess[] = [];
  let enforcer: Enforcer;
  let revision = 0;

  async function apply(entries: readonly PolicyEntry[], more: Partial<ResolvedNode> = {}): Promise<void> {
    revision += 1;
    const addresses = [
      { cidr: `${server.address}/32`, peerClass: SERVER, identity: 1001 },
      { cidr: `${server.address6}/128`, peerClass: SERVER, identity: 1001 },
      ...['0.0.0.0/0', '::/0'].map((cidr) => ({ cidr, peerClass: WORLD, identity: 2 })),
    ];
    await enforcer.apply({
      contentDigest: `${revision}`, generation: `1.${revision}`, programs,
      endpoints: [{ key: 'pod/shop/client', slot: 1, attach: { kind: 'interface', ifname: client.ifname }, network: 'default', addresses: [client.address, client.address6] }],
      resolved: { ...resolvedNode({ 'pod/shop/client': [...denyAll, ...entries] }, addresses, revision), ...more },
      dnsResolvers: [{ network: 'default', address: server.address }],
    });
  }

  /** Exit code and output of a command in the client's namespace. */
  async function run(...words: string[]): Promise<{ readonly code: number; readonly out: string }> {
    try {
      const { stdout } = await execute('nsenter', [`--net=/run/netns/${client.namespace}`, ...words], { timeout: 20_000 });
      return { code: 0, out: stdout };
    } catch (error) {
      const { code, stdout } = error as { code?: number; stdout?: string };
      return { code: typeof code === 'number' ? code : -1, out: stdout ?? '' };
    }
  }

  /** Starts a server and waits until it says that it serves. */
  async function serve(pod: TestPod, ready: RegExp, ...words: string[]): Promise<void> {
    const child = spawn('nsenter', [`--net=/run/netns/${pod.namespace}`, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    daemons.push(child);
    await new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', (line) => ready.test(line) && resolve());
      child.once('exit', (code) => reject(new Error(`${words[0] ?? ''} ended with ${code ?? 'a signal'}`)));
    });
  }

  async function told(match: (event: KernelFlowEvent) => boolean): Promise<{ readonly bytes: number; readonly replyBytes: number; readonly packets: number }> {
    const sum = { bytes: 0, replyBytes: 0, packets: 0 };
    for (const event of (await enforcer.drain(1_000_000)).filter(match)) {
      sum.bytes += Number(event.bytes);
      sum.replyBytes += Number(event.replyBytes);
      sum.packets += Number(event.packets);
    }
    return sum;
  }

  beforeAll(async () => {
    network.create();
    await serve(server, /started/, 'dnsmasq', '--keep-in-foreground', '--log-facility=-', '--no-resolv', '--no-hosts', '--conf-file=/dev/null', '--user=root', '--pid-file',
      `--listen-address=${server.address},${server.address6}`, '--bind-interfaces', '--local-ttl=60', `--address=/web.example.test/${web.address}`,
      ...Array.from({ length: 40 }, (_, index) => `--txt-record=large.example.test,"${String(index).padStart(60, '.')}"`));
    await serve(server, /Server listening/, 'iperf3', '--server', '--forceflush');
    await web.ask({ op: 'listen-tcp', port: WEB_PORT });
  });
  afterAll(async () => {
    for (const daemon of daemons) {
      daemon.removeAllListeners('exit');
      const gone = new Promise((resolve) => daemon.once('exit', resolve));
      daemon.kill('SIGKILL');
      await gone;
    }
    await network.remove();
  });
  beforeEach(() => {
    enforcer = createKernelEnforcer({ pinRoot: `/sys/fs/bpf/palisade/test-${network.id}`, networkNamespace: network.nodePath, deltaIntervalMs: 0 });
  });
  afterEach(() => enforcer.uninstall());

  describe('ping', () => {
    const ping = (...words: string[]): Promise<{ readonly code: number; readonly out: string }> => run('ping', '-c', '2', '-i', '0.2', '-W', '1', ...words);
    it.each([['IPv4', PROTOCOL.icmp, 8, () => server.address], ['IPv6', PROTOCOL.icmp6, 128, () => server.address6]] as const)(
      'reaches the peer over %s where echo is allowed, in fragments too, and not where it is not', async (_, protocol, type, address) => {
        await apply([entry('egress', SERVER, protocol, type, 'allow', 2)]);
        expect((await ping(address())).out).toContain('2 received');
        expect((await ping('-s', '4000', address())).out).toContain('2 received');
        await apply([]);
        expect((await ping(address())).out).toContain('0 received');
      });
    it('is told by the path that a packet is too large', async () => {
      await apply([entry('egress', SERVER, PROTOCOL.icmp, 8, 'allow', 2)]);
      network.onNode('ip', 'link', 'set', server.ifname, 'mtu', '1280');
      try {
        expect((await ping('-M', 'do', '-s', '1400', server.address)).out).toMatch(/Frag needed and DF set \(mtu = 1280\)|message too long, mtu.?=.?1280/);
      } finally {
        network.onNode('ip', 'link', 'set', server.ifname, 'mtu', '1500');
      }
    });
  });

  describe('dig', () => {
    const dig = (...words: string[]): Promise<{ readonly code: number; readonly out: string }> => run('dig', '+short', '+tries=1', '+time=2', ...words);
    it.each(['udp', 'tcp'] as const)('resolves over %s where the resolver is allowed, over both families', async (protocol) => {
      await apply([entry('egress', SERVER, PROTOCOL[protocol], 53, 'allow', 2)]);
      for (const address of [server.address, server.address6]) {
        expect((await dig(`@${address}`, ...(protocol === 'tcp' ? ['+tcp'] : []), 'web.example.test')).out.trim()).toBe(web.address);
      }
      expect((await dig(`@${server.address}`, ...(protocol === 'tcp' ? [] : ['+tcp']), 'web.example.test')).out).not.toContain(web.address);
    });
    it('is told at once that a question is denied, over both families, altogether or by its name', async () => {
      const status = async (...words: string[]): Promise<string | undefined> => /status: (\w+)/.exec((await run('dig', '+tries=1', '+time=2', ...words)).out)?.[1];
      await apply([]);
      for (const sums of ['on', 'off']) {
        client.run('ethtool', '-K', 'eth0', 'tx', sums); // whether the answer's checksum is looked at
        for (const address of [server.address, server.address6]) expect(await status(`@${address}`, 'web.example.test')).toBe('REFUSED');
      }
      expect(await status(`@${server.address}`, '+noedns', '+norecurse', 'web.example.test')).toBe('REFUSED');
      const named = { l7Rules: [{ mode: 'hard' as const, dns: [{ kind: 'name' as const, value: 'web.example.test' }] }] };
      await apply([{ ...entry('egress', SERVER, PROTOCOL.udp, 53, 'l7', 2), l7: 0 }], named);
      expect(await status(`@${server.address}`, 'web.example.test')).toBe('NOERROR');
      expect(await status(`@${server.address}`, 'large.example.test', 'TXT')).toBe('REFUSED');
      expect(await status(`@${server.address}`, 'web.example.test')).toBe('NOERROR');
    });
    it('that asks in the name of another gets the refusal itself: nothing reaches the other', async () => {
      await apply([]);
      const victim = (): string => web.run('cat', '/proc/net/snmp').split('\n').filter((line) => line.startsWith('Udp:')).at(-1) ?? '';
      client.run('ip', 'addr', 'add', `${web.address}/32`, 'dev', 'lo');
      try {
        const before = victim();
        for (let count = 0; count < 5; count += 1) {
          expect((await run('dig', '+tries=1', '+time=2', '-b', web.address, `@${server.address}`, 'web.example.test')).out).toContain('status: REFUSED');
        }
        expect(victim()).toBe(before);
      } finally {
        client.run('ip', 'addr', 'del', `${web.address}/32`, 'dev', 'lo');
      }
    });
    it('gets an answer that needs fragments, and one that comes again over TCP', async () => {
      await apply([PROTOCOL.udp, PROTOCOL.tcp].map((protocol, at) => entry('egress', SERVER, protocol, 53, 'allow', 2 + 2 * at)));
      for (const limit of ['+bufsize=4096', '+bufsize=512']) {
        expect((await dig(`@${server.address}`, limit, 'large.example.test', 'TXT')).out.trim().split('\n')).toHaveLength(40);
      }
    });
  });

  describe('a client that policy allows a name', () => {
    const named = { fqdn: { selectors: [{ kind: 'name' as const, value: 'web.example.test' }], classes: [{ baseClass: WORLD, selectors: [0], peerClass: WEB }] } };
    const reach = async (): Promise<boolean> => (await client.ask({ op: 'tcp', host: web.address, port: WEB_PORT, timeoutMs: 400 })).ok;
    const ask = async (...words: string[]): Promise<void> => expect((await run('dig', '+short', '+tries=1', ...words, 'web.example.test')).out.trim()).toBe(web.address);
    const allowed = [...[PROTOCOL.udp, PROTOCOL.tcp].map((protocol, at) => entry('egress', SERVER, protocol, 53, 'allow', 2 + 2 * at)), entry('egress', WEB, PROTOCOL.tcp, WEB_PORT, 'allow', 6)];
    it('reaches its address once it has asked', async () => {
      await apply(allowed, named);
      expect(await reach()).toBe(false);
      await ask(`@${server.address}`);
      expect(await reach()).toBe(true);
    });
    it('reaches it after an answer over TCP too, once the agent has read it; other resolvers teach nothing', async () => {
      await apply(allowed, named);
      await ask('+tcp', `@${server.address6}`);
      await enforcer.drain(1000);
      expect(await reach()).toBe(false);
      await ask('+tcp', `@${server.address}`);
      expect(await reach()).toBe(false);
      await enforcer.drain(1000);
      expect(await reach()).toBe(true);
    });
  });

  describe('iperf3', () => {
    const SIZE = 40_000_000;
    const allowed = [entry('egress', SERVER, PROTOCOL.tcp, 5201, 'allow', 2), entry('egress', SERVER, PROTOCOL.udp, 5201, 'allow', 4)];
    async function iperf(...words: string[]): Promise<{ readonly sum_sent: { readonly bytes: number }; readonly sum_received: { readonly bytes: number }; readonly sum?: { readonly packets: number } }> {
      const { code, out } = await run('iperf3', '--json', '--client', server.address, ...words);
      expect(code, out).toBe(0);
      return (JSON.parse(out) as { end: Awaited<ReturnType<typeof iperf>> }).end;
    }
    it.each([['from the workload', []], ['to the workload', ['--reverse']], ['on four connections at once', ['--parallel', '4']]] as const)(
      'moves a stream %s, and the flows count its bytes', async (_, words) => {
        await apply(allowed);
        const end = await iperf('--bytes', String(SIZE), ...words);
        const { bytes: sent, replyBytes } = await told(({ protocol, destinationPort }) => protocol === PROTOCOL.tcp && destinationPort === 5201);
        const counted = words[0] === '--reverse' ? replyBytes : sent;
        expect(end.sum_received.bytes).toBeGreaterThan(SIZE / 4); // several connections end together, with some of it under way
        // Headers come on top: one for each segment, or one for many where the kernel keeps them together.
        expect(counted).toBeGreaterThanOrEqual(end.sum_received.bytes);
        expect(counted).toBeLessThan(end.sum_sent.bytes * 1.1);
      });
    it('sends datagrams, and the flows count every one', async () => {
      await apply(allowed);
      const end = await iperf('--udp', '--length', '1200', '--bitrate', '80M', '--bytes', '6000000');
      const { packets } = await told(({ protocol, destinationPort }) => protocol === PROTOCOL.udp && destinationPort === 5201);
      // Its own first datagram opens the stream.
      expect(packets).toBe((end.sum?.packets ?? 0) + 1);
    });
    it('reaches nothing where it is denied', async () => {
      await apply([]);
      expect((await run('iperf3', '--connect-timeout', '400', '--client', server.address, '--bytes', '1000')).code).not.toBe(0);
    });
  });
});
