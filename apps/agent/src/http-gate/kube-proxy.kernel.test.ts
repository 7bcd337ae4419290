import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HttpRule, L7RuleSet, PolicyEntry } from '@palisade/policy';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FIRST_CLASS, GateLab, HTTP_PORT } from '../enforcer/testing/gate-lab.ts';
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
const SERVICE_PORT = 80;
const NODE_PORT = 30_080;

/** What kube-proxy makes: translation to the backend, and packets that connection tracking cannot place do not pass the node. */
function kubeProxy(backend: TestPod): string {
  return `table inet kube-filter {
  chain forward { type filter hook forward priority 0; ct state invalid counter drop; }
}
table inet kube-nat {
  chain postrouting { type nat hook postrouting priority 100; }
  chain prerouting {
    type nat hook prerouting priority -100;
    ip daddr ${SERVICE} tcp dport ${SERVICE_PORT} dnat ip to ${backend.address}:${HTTP_PORT}
    ip6 daddr ${SERVICE6} tcp dport ${SERVICE_PORT} dnat ip6 to [${backend.address6}]:${HTTP_PORT}
    fib daddr type local tcp dport ${NODE_PORT} meta nfproto ipv4 dnat ip to ${backend.address}:${HTTP_PORT}
  }
}`;
}

describe.skipIf(unavailable)('the gate beside kube-proxy’s filter', () => {
  const lab = new GateLab(['client', 'server', 'outside'], ['outside']);
  const [client, server, outside] = [lab.network.pod('client'), lab.network.pod('server'), lab.network.pod('outside')];
  let http: HttpServerProcess;

  const l7 = (direction: 'ingress' | 'egress', peer: number, ruleId: number): PolicyEntry => ({ ...entry(direction, peer, 6, HTTP_PORT, 'l7', ruleId), l7: 0 });
  const atServer = { 'pod/lab/server': [entry('ingress', 0, 0, 0, 'deny', 1), l7('ingress', 0, 2)] };
  const atClient = { 'pod/lab/client': [entry('egress', 0, 0, 0, 'deny', 3), l7('egress', SERVER, 4)] };
  const atBoth = { ...atServer, ...atClient };

  beforeAll(async () => {
    [http] = (await lab.start(server)) as [HttpServerProcess];
    const rules = join(lab.folder, 'rules.nft');
    writeFileSync(rules, kubeProxy(server));
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
});
