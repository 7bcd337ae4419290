import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceAddress } from '@palisade/dataplane';
import type { HttpRule, L7RuleSet, PolicyEntry } from '@palisade/policy';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FIRST_CLASS, HttpLab, HTTP_PORT } from '../enforcer/testing/http-lab.ts';
import { gateUnavailable, type HttpServerProcess } from '../enforcer/testing/http-processes.ts';
import { kernelUnavailable } from '../enforcer/testing/kernel-available.ts';
import { entry } from '../enforcer/testing/resolved-fixture.ts';
import type { TestPod } from '../enforcer/testing/test-network.ts';

const unavailable = kernelUnavailable() ?? gateUnavailable();
if (unavailable) console.warn(unavailable);

/** Peer class of the second pod. */
const SERVER = FIRST_CLASS + 1;
const RULES: readonly HttpRule[] = [{ method: 'GET', path: '/public/.*', ruleId: 100 }, { method: 'POST', path: '/submit', ruleId: 102 }];
const HARD: readonly L7RuleSet[] = [{ mode: 'hard', http: RULES }];

const SERVICE = '10.96.0.20';
const SERVICE6 = 'fd96::20';
/** Its backend is another one than the agent knows. */
const STALE = '10.96.0.21';
const SERVICE_PORT = 80;
const NODE_PORT = 30_080;

/** What kube-proxy makes: translation to the backend, and packets that connection tracking cannot place do not pass the node. */
function kubeProxy(backend: TestPod, other: TestPod): string {
  return `table inet kube-filter {
  chain forward { type filter hook forward priority 0; ct state invalid counter drop; }
}
table inet kube-nat {
  chain postrouting { type nat hook postrouting priority 100; }
  chain prerouting {
    type nat hook prerouting priority -100;
    ip daddr ${SERVICE} tcp dport ${SERVICE_PORT} dnat ip to ${backend.address}:${HTTP_PORT}
    ip daddr ${STALE} tcp dport ${SERVICE_PORT} dnat ip to ${other.address}:${HTTP_PORT}
    ip6 daddr ${SERVICE6} tcp dport ${SERVICE_PORT} dnat ip6 to [${backend.address6}]:${HTTP_PORT}
    fib daddr type local tcp dport ${NODE_PORT} meta nfproto ipv4 dnat ip to ${backend.address}:${HTTP_PORT}
  }
}`;
}

describe.skipIf(unavailable)('the gate beside kube-proxy’s filter', () => {
  const lab = new HttpLab(['client', 'server', 'outside'], { outside: ['outside'] });
  const [client, server, outside] = [lab.network.pod('client'), lab.network.pod('server'), lab.network.pod('outside')];
  let http: HttpServerProcess;
  let elsewhere: HttpServerProcess;

  const l7 = (direction: 'ingress' | 'egress', peer: number, ruleId: number): PolicyEntry => ({ ...entry(direction, peer, 6, HTTP_PORT, 'l7', ruleId), l7: 0 });
  const atServer = { 'pod/lab/server': [entry('ingress', 0, 0, 0, 'deny', 1), l7('ingress', 0, 2)] };
  const atClient = { 'pod/lab/client': [entry('egress', 0, 0, 0, 'deny', 3), l7('egress', SERVER, 4)] };
  const atBoth = { ...atServer, ...atClient };

  const services: readonly ServiceAddress[] = [[SERVICE, server.address], [SERVICE6, server.address6], [STALE, server.address]].map(([address = '', backend = '']) => ({
    network: 'default', address, port: SERVICE_PORT, protocol: 6, backends: [{ address: backend, port: HTTP_PORT }],
  }));

  beforeAll(async () => {
    [http, elsewhere] = (await lab.start(server, outside)) as [HttpServerProcess, HttpServerProcess];
    const rules = join(lab.folder, 'rules.nft');
    writeFileSync(rules, kubeProxy(server, outside));
    lab.network.onNode('nft', '-f', rules);
    await lab.apply(atServer, HARD);
    await lab.startGate(async () => (await lab.ask(client, server.address, '/public/probe')) === 200);
  });
  beforeEach(() => {
    http.output = '';
  });
  afterAll(() => lab.stop());

  it.each([['the server’s side', atServer], ['the client’s side', atClient], ['both sides', atBoth]] as const)('keeps connections whole under rules of %s', async (_, policies) => {
    await lab.apply(policies, HARD);
    for (const host of [server.address, `[${server.address6}]`]) {
      const body = join(lab.folder, 'body');
      writeFileSync(body, 'x'.repeat(300_000));
      expect(await lab.curl(client, `http://${host}:${HTTP_PORT}/submit`, '--data-binary', `@${body}`)).toBe('POST /submit\n200');
      expect(await lab.curl(client, `http://${host}:${HTTP_PORT}/private`)).toMatch(/403$/);
    }
    expect(http.requests.map(({ url, size }) => [url, size])).toEqual([['/submit', 300_000], ['/submit', 300_000]]);
  });

  it('keeps connections of a client outside the node whole', async () => {
    await lab.apply(atServer, HARD);
    expect(await lab.curl(outside, `http://${server.address}:${HTTP_PORT}/public/a`)).toBe('GET /public/a\n200');
    expect(await lab.ask(outside, server.address6, '/private')).toBe(403);
  });

  it('enforces rules of the server’s side on what comes through a service, and through a node port from outside', async () => {
    await lab.apply(atServer, HARD);
    for (const url of [`http://${SERVICE}`, `http://[${SERVICE6}]`]) {
      expect(await lab.curl(client, `${url}/public/a`)).toBe('GET /public/a\n200');
      expect(await lab.curl(client, `${url}/private`)).toMatch(/403$/);
    }
    const node = `http://${outside.address.replace(/\.10$/, '.1')}:${NODE_PORT}`;
    expect(await lab.curl(outside, `${node}/public/b`)).toBe('GET /public/b\n200');
    expect(await lab.curl(outside, `${node}/private`)).toMatch(/403$/);
    expect(http.requests.map(({ url, from }) => [url, from])).toEqual([
      ['/public/a', `::ffff:${client.address}`], ['/public/a', client.address6], ['/public/b', `::ffff:${outside.address}`],
    ]);
  });

  describe('rules of the client’s side towards a service', () => {
    /** What was answered over both families, and what reached the server. */
    const bothWays = async () => {
      const body = join(lab.folder, 'body');
      writeFileSync(body, 'x'.repeat(300_000));
      const answers: string[] = [];
      for (const url of [`http://${SERVICE}`, `http://[${SERVICE6}]`]) {
        answers.push(await lab.curl(client, `${url}/submit`, '--data-binary', `@${body}`), (await lab.curl(client, `${url}/private`)).slice(-3));
      }
      return { answers, reached: http.requests.map(({ url, size }) => [url, size]) };
    };
    const ENFORCED = {
      answers: ['POST /submit\n200', '403', 'POST /submit\n200', '403'],
      reached: [['/submit', 300_000], ['/submit', 300_000]],
    };
    it('are enforced by the gate on the backend', async () => {
      await lab.apply(atClient, HARD, services);
      await lab.drain();
      expect(await bothWays()).toEqual(ENFORCED);
      const seen = await lab.drain();
      expect(seen).toContainEqual(expect.objectContaining({
        event: 'new', direction: 'egress', verdict: 'redirected', destination: server.address, destinationPort: HTTP_PORT, serviceAddress: SERVICE, servicePort: SERVICE_PORT, ruleId: 4,
      }));
      expect(seen.filter(({ event, direction }) => event === 'l7' && direction === 'egress').map(({ verdict, ruleId }) => [verdict, ruleId])).toEqual([
        ['redirected', 102], ['dropped', 4], ['redirected', 102], ['dropped', 4],
      ]);
    });
    it('go together with rules of the server’s side', async () => {
      await lab.apply(atBoth, HARD, services);
      expect(await bothWays()).toEqual(ENFORCED);
    });
    it('are enforced by the kernel where they are soft', async () => {
      await lab.apply(atClient, [{ mode: 'soft', http: RULES }], services);
      expect(await bothWays()).toEqual(ENFORCED);
    });
    it('judge open connections by the policy of their time', async () => {
      await lab.apply(atClient, HARD, services);
      const one = await lab.raw(client, SERVICE, SERVICE_PORT);
      const say = (path: string): void => one.say(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      say('/public/1');
      expect(await one.answers(1)).toEqual([200]);
      await lab.apply(atClient, [{ mode: 'hard', http: [{ path: '/private', ruleId: 104 }] }], services);
      say('/public/2');
      say('/private');
      expect(await one.answers(3)).toEqual([200, 403, 200]);
      await one.kill();
    });
    it('are those of the backend that the translation chose, whatever was expected', async () => {
      await lab.apply(atClient, HARD, services);
      await lab.drain();
      await expect(lab.curl(client, `http://${STALE}/public/a`, '--connect-timeout', '1')).rejects.toThrow();
      expect([http.requests, elsewhere.requests]).toEqual([[], []]);
      expect(await lab.drain()).toContainEqual(expect.objectContaining({ event: 'dropped', destination: outside.address, destinationPort: HTTP_PORT, serviceAddress: STALE, ruleId: 3 }));
      await lab.apply({ 'pod/lab/client': [...atClient['pod/lab/client'], entry('egress', FIRST_CLASS + 2, 6, HTTP_PORT, 'allow', 6)] }, HARD, services);
      expect(await lab.ask(client, STALE, '/private', SERVICE_PORT)).not.toBe(200);
    });
    it('let nothing pass where policy denies the backend, or no backend is known', async () => {
      await lab.apply({ 'pod/lab/client': [entry('egress', 0, 0, 0, 'deny', 3)] }, [], services);
      await expect(lab.curl(client, `http://${SERVICE}/public/a`, '--connect-timeout', '1')).rejects.toThrow();
      await lab.apply(atClient, HARD, services.map((service) => ({ ...service, backends: [] })));
      await expect(lab.curl(client, `http://${SERVICE}/public/a`, '--connect-timeout', '1')).rejects.toThrow();
      expect(http.requests).toEqual([]);
    });
  });

  it('leaves nothing of the gate in the node’s network once it is uninstalled', async () => {
    const state = (): string[] => [lab.network.onNode('ip', 'rule'), lab.network.onNode('ip', '-6', 'rule'), lab.network.onNode('nft', 'list', 'tables')];
    await lab.apply(atServer, HARD);
    expect(state().map((text) => /fwmark 0x100000|palisade/.test(text))).toEqual([true, true, true]);
    await lab.enforcer.uninstall();
    await lab.leave();
    expect(state().map((text) => /fwmark|palisade/.test(text))).toEqual([false, false, false]);
    expect(lab.network.onNode('cat', '/proc/sys/net/ipv4/tcp_early_demux')).toBe('1\n');
  });
});
