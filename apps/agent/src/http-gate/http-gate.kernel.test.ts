import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { KernelFlowEvent } from '@palisade/dataplane';
import { createPolicySet, resolveNode, type ClusterFacts, type HttpRule, type L7RuleSet, type PolicyDocument, type PolicyEntry } from '@palisade/policy';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FIRST_CLASS, HTTP_PORT as PORT, HttpLab } from '../enforcer/testing/http-lab.ts';
import { gateUnavailable, type HttpServerProcess, type RawClient } from '../enforcer/testing/http-processes.ts';
import { kernelUnavailable } from '../enforcer/testing/kernel-available.ts';
import { entry } from '../enforcer/testing/resolved-fixture.ts';

const unavailable = kernelUnavailable() ?? gateUnavailable();
if (unavailable) console.warn(unavailable);

const execute = promisify(execFile);
const [CLIENT, SERVER] = [FIRST_CLASS, FIRST_CLASS + 1];
const PUBLIC: HttpRule = { method: 'GET', path: '/public/.*', ruleId: 100 };
const READ_ONLY: readonly HttpRule[] = [PUBLIC, { method: 'POST', path: '/submit', ruleId: 102 }];

function request(path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: server.example\r\n${more}\r\n`;
}

describe.skipIf(unavailable)('rules on HTTP through the gate', () => {
  const lab = new HttpLab(['client', 'server']);
  const { network, folder } = lab;
  const [client, server] = [network.pod('client'), network.pod('server')];
  let http: HttpServerProcess;

  const l7 = (direction: 'ingress' | 'egress', peer: number, ruleId: number, set: number): PolicyEntry => ({ ...entry(direction, peer, 6, PORT, 'l7', ruleId), l7: set });
  /** The server looks at what the client asks. */
  const atServer = { 'pod/lab/server': [entry('ingress', 0, 0, 0, 'deny', 1), l7('ingress', CLIENT, 2, 0)] };
  const atClient = { 'pod/lab/client': [entry('egress', 0, 0, 0, 'deny', 3), l7('egress', SERVER, 4, 0)] };
  const atBoth = {
    'pod/lab/server': [entry('ingress', 0, 0, 0, 'deny', 1), l7('ingress', CLIENT, 2, 1)],
    'pod/lab/client': atClient['pod/lab/client'],
  };
  const hard = (...sets: (readonly HttpRule[])[]): L7RuleSet[] => sets.map((rules) => ({ mode: 'hard', http: rules }));

  const raw = (host = server.address): Promise<RawClient> => lab.raw(client, host);
  const ask = (path: string, host = server.address): Promise<number> => lab.ask(client, host, path);
  const startGate = (): Promise<void> => lab.startGate(async () => (await ask('/public/probe')) === 200);
  /** Body and status. */
  const curl = (path: string, ...more: string[]): Promise<string> =>
    lab.curl(client, `http://${more.includes('-6') ? `[${server.address6}]` : server.address}:${PORT}${path}`, ...more);

  beforeAll(async () => {
    [http] = (await lab.start(server)) as [HttpServerProcess];
    await lab.apply(atServer, hard(READ_ONLY));
    await startGate();
  });
  beforeEach(async () => {
    await lab.apply(atServer, hard(READ_ONLY));
    http.output = '';
    await lab.drain();
  });
  afterAll(() => lab.stop());

  /** What was told of requests, without what the programs read at an end without such rules. */
  async function requests(side: 'ingress' | 'egress' = 'ingress'): Promise<KernelFlowEvent[]> {
    return (await lab.drain()).filter(({ event, direction }) => event === 'l7' && direction === side);
  }

  it.each([['IPv4', []], ['IPv6', ['-6', '-g']]] as const)('lets pass what a rule allows and answers 403 to the rest, over %s', async (_, options) => {
    expect(await curl('/public/a?b=c', ...options)).toBe('GET /public/a?b=c\n200');
    expect(await curl('/private', ...options)).toBe('Access denied by network policy.\n403');
    expect(http.requests.map(({ method, url }) => `${method} ${url}`)).toEqual(['GET /public/a?b=c']);
  });

  it('keeps the client’s address at the server, and tells the client’s port', async () => {
    expect(await curl('/public/me', '--local-port', '41234')).toMatch(/200$/);
    expect(http.requests).toMatchObject([{ from: `::ffff:${client.address}`, port: 41_234 - 31_744 }]);
    const seen = await lab.drain();
    expect(seen.length).toBeGreaterThan(2);
    expect(new Set(seen.map(({ sourcePort }) => sourcePort))).toEqual(new Set([41_234]));
  });

  it('tells allowed and denied requests with their rules, seen where the rules are', async () => {
    await curl('/public/a?secret=1');
    await curl('/private');
    expect(await requests()).toMatchObject([
      { direction: 'ingress', endpointSlot: 2, source: client.address, destination: server.address, destinationPort: PORT, peerIdentity: 1000, verdict: 'redirected', dropReason: 0, ruleId: 100, http: { method: 'GET', path: '/public/a', status: 200 } },
      { direction: 'ingress', endpointSlot: 2, verdict: 'dropped', dropReason: 7, ruleId: 2, http: { method: 'GET', path: '/private', status: 403 } },
    ]);
  });

  it('judges every request of a connection, pipelined ones too', async () => {
    const one = await raw();
    one.say(request('/public/1') + request('/private') + request('/public/2'));
    expect(await one.answers(3)).toEqual([200, 403, 200]);
    await one.kill();
    expect(http.requests.map(({ url }) => url)).toEqual(['/public/1', '/public/2']);
  });

  it('puts together what comes in pieces', async () => {
    const one = await raw();
    for (const piece of ['GE', 'T /pub', 'lic/x HT', 'TP/1.1\r', '\nHost: a\r\n', '\r', '\n']) {
      one.say(piece);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(await one.answers(1)).toEqual([200]);
    await one.kill();
  });

  it('carries bodies both ways, with a length and in chunks', async () => {
    const body = join(folder, 'body');
    writeFileSync(body, 'x'.repeat(300_000));
    expect(await curl('/submit', '--data-binary', `@${body}`)).toBe('POST /submit\n200');
    expect(await curl('/submit', '--data-binary', `@${body}`, '-H', 'Transfer-Encoding: chunked')).toBe('POST /submit\n200');
    expect(http.requests.map(({ size }) => size)).toEqual([300_000, 300_000]);
  });

  it.each([
    ['dot segments', '/public/../private', 403],
    ['encoded dots', '/public/%2e%2e/private', 403],
    ['an encoded letter', '/pub%6cic/a', 200],
    ['an encoded slash', '/public%2fa', 400],
    ['several slashes', '/public///a', 200],
  ])('judges the path that the server will see: %s', async (_, path, status) => {
    expect(await ask(path)).toBe(status);
    expect(http.requests.every(({ url }) => url.startsWith('/public/'))).toBe(true);
  });

  it.each([
    ['two lengths', 'POST /submit HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello', 400],
    ['a length and chunks', 'POST /submit HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    ['a bare line feed', 'GET /public/a HTTP/1.1\nHost: a\n\n', 400],
    ['a leading empty line', `\r\n${request('/public/a')}`, 400],
    ['a tunnel', 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 405],
    ['an upgrade to h2c', request('/public/a', 'Connection: Upgrade\r\nUpgrade: h2c\r\n'), 403],
    ['HTTP/2 without negotiation', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  ])('refuses %s', async (_, text, status) => {
    const one = await raw();
    one.say(text);
    expect(await one.answers(1)).toEqual([status]);
    await one.kill();
    expect(http.requests).toEqual([]);
  });

  it('does not speak TLS', async () => {
    const one = await raw();
    one.say('\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03');
    expect(await one.answers(1)).toEqual([400]);
    await one.kill();
  });

  it('opens a WebSocket that a rule allows, and reads nothing of it afterwards', async () => {
    const one = await raw();
    one.say(request('/public/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'));
    expect(await one.answers(1)).toEqual([101]);
    one.say('any bytes');
    await one.until('the echo', () => one.output.endsWith('any bytes'));
    await one.kill();
  });

  it('judges the next request of an open connection by the policy of its time', async () => {
    const one = await raw();
    one.say(request('/public/1'));
    expect(await one.answers(1)).toEqual([200]);
    await lab.apply(atServer, hard([{ method: 'GET', path: '/private', ruleId: 104 }]));
    one.say(request('/public/2'));
    one.say(request('/private'));
    expect(await one.answers(3)).toEqual([200, 403, 200]);
    await lab.apply({ 'pod/lab/server': [entry('ingress', 0, 0, 0, 'deny', 1), entry('ingress', CLIENT, 6, PORT, 'allow', 6)] }, []);
    one.say(request('/anything'));
    expect(await one.answers(4)).toEqual([200, 403, 200, 200]);
    await one.kill();
  });

  it('enforces rules of the client’s side alike', async () => {
    await lab.apply(atClient, hard(READ_ONLY));
    expect(await curl('/public/a')).toBe('GET /public/a\n200');
    expect(await curl('/private')).toBe('Access denied by network policy.\n403');
    expect(await ask('/public/six', server.address6)).toBe(200);
    expect((await requests('egress')).map(({ verdict, endpointSlot }) => [verdict, endpointSlot])).toEqual([['redirected', 1], ['dropped', 1], ['redirected', 1]]);
  });

  it('lets pass only what the rules of both sides allow', async () => {
    await lab.apply(atBoth, hard([{ path: '/public/.*', ruleId: 100 }], [{ path: '.*/both', ruleId: 200 }]));
    expect([await ask('/public/both'), await ask('/public/one'), await ask('/other/both')]).toEqual([200, 403, 403]);
    expect(http.requests.map(({ url }) => url)).toEqual(['/public/both']);
  });

  it('goes together with soft rules at the other end, which the kernel judges before', async () => {
    await lab.apply(atBoth, [{ mode: 'soft', http: [{ path: '/public/.*', ruleId: 100 }] }, { mode: 'hard', http: [{ path: '.*/both', ruleId: 200 }] }]);
    expect([await ask('/public/both'), await ask('/public/one'), await ask('/other/both')]).toEqual([200, 403, 403]);
    expect(http.requests.map(({ url }) => url)).toEqual(['/public/both']);
    await lab.apply(atBoth, [{ mode: 'hard', http: [{ path: '/public/.*', ruleId: 100 }] }, { mode: 'soft', http: [{ path: '.*/both', ruleId: 200 }] }]);
    expect([await ask('/public/both'), await ask('/public/one'), await ask('/other/both')]).toEqual([200, 403, 403]);
  });

  it('enforces soft rules that are too large for the kernel', async () => {
    await lab.apply(atServer, [{ mode: 'soft', http: [{ path: '/(a|b)*a(a|b){20}', ruleId: 106 }] }]);
    expect([await ask(`/b${'a'.repeat(21)}`), await ask(`/${'b'.repeat(21)}`)]).toEqual([200, 403]);
    expect((await requests()).map(({ verdict, ruleId }) => [verdict, ruleId])).toEqual([['redirected', 106], ['dropped', 2]]);
  });

  it('does not stand between a pod and probes of its own node, even where a rule on HTTP names every peer', async () => {
    const facts: ClusterFacts = {
      clusterName: 'lab', identityRevision: 1, services: [], cidrGroups: [], hostFirewall: false,
      identities: [{ id: 1000, labels: { 'k8s:app': 'client' } }, { id: 1001, labels: { 'k8s:app': 'server' } }],
      nodes: [{ name: 'n1', labels: {}, addresses: [server.address.replace(/\.10$/, '.1')] }],
      workloads: network.pods.map(({ name, address }, index) => ({ key: `pod/lab/${name}`, namespace: 'lab', name, identity: 1000 + index, network: 'default', node: 'n1', addresses: [address] })),
    };
    const policy: PolicyDocument = {
      irVersion: 1, kind: 'CiliumNetworkPolicy', namespace: 'lab', name: 'read-only', revision: 1, mode: 'enforce',
      blocks: [{
        spec: 0, tier: 'normal', priority: 0, direction: 'ingress', isolates: true,
        subject: { kind: 'endpoints', selector: { requirements: [{ key: 'k8s:app', operator: 'in', values: ['server'] }], localCluster: false } },
        rules: [{
          id: 4, index: 0, section: 'ingress', action: 'allow', peers: [{ kind: 'any' }],
          ports: [{ ports: [{ kind: 'range', protocol: 'TCP', first: PORT, last: PORT }], l7: { kind: 'http', mode: 'hard', rules: [{ method: 'GET', path: '/public/.*' }] } }],
        }],
      }],
    };
    await lab.applyResolved(resolveNode(createPolicySet([policy]), facts, 'n1'));
    const probe = await execute('nsenter', [`--net=${network.nodePath}`, 'curl', '-s', '--max-time', '5', '-w', '%{http_code}', `http://${server.address}:${PORT}/healthz`]);
    expect(probe.stdout).toBe('GET /healthz\n200');
    expect([await curl('/public/a'), await curl('/healthz')]).toEqual(['GET /public/a\n200', 'Access denied by network policy.\n403']);
  });

  it('goes on with open connections while the agent is away, lets no new one pass, and works when the agent is back', async () => {
    const open = await raw();
    open.say(request('/public/1'));
    expect(await open.answers(1)).toEqual([200]);
    await lab.leave();
    open.say(request('/private') + request('/public/2'));
    expect(await open.answers(3)).toEqual([200, 403, 200]);
    expect(await ask('/public/3')).toBe(503);
    await lab.apply(atServer, hard([{ method: 'GET', path: '/private', ruleId: 104 }]));
    for (let attempt = 0; attempt < 100 && (await ask('/private')) !== 200; attempt += 1) if (lab.gate.ended) throw new Error(lab.gate.errors);
    open.say(request('/public/4'));
    expect(await open.answers(4)).toEqual([200, 403, 200, 403]);
    await open.kill();
  });

  it('leaves traffic without such rules alone', async () => {
    await lab.apply({ 'pod/lab/server': [entry('ingress', 0, 0, 0, 'deny', 1), entry('ingress', CLIENT, 6, PORT, 'allow', 6)] }, []);
    expect(await ask('/private')).toBe(200);
    expect(await requests()).toMatchObject([{ verdict: 'forwarded', ruleId: 6, http: { path: '/private', status: 200 } }]);
  });

  it('counts a request at the server’s interface once', async () => {
    const body = join(folder, 'body');
    writeFileSync(body, 'x'.repeat(300_000));
    expect(await curl('/submit', '--data-binary', `@${body}`)).toBe('POST /submit\n200');
    const events = (await lab.drain()).filter(({ event, direction }) => event !== 'l7' && direction === 'ingress');
    const bytes = events.reduce((sum, one) => sum + Number(one.bytes), 0);
    expect(bytes).toBeGreaterThan(300_000);
    expect(bytes).toBeLessThan(400_000);
    expect(events.some(({ event, verdict }) => event === 'new' && verdict === 'redirected')).toBe(true);
  });

  it('drops with its own reason while the gate is down, resets what was open, and works again after', async () => {
    const open = await raw();
    open.say(request('/public/1'));
    expect(await open.answers(1)).toEqual([200]);
    await lab.gate.kill();
    await open.until('the end of the connection', () => open.ended);
    await lab.drain();
    await expect(curl('/public/2', '--connect-timeout', '1')).rejects.toThrow();
    const dropped = (await lab.drain()).filter(({ event }) => event === 'dropped');
    expect(dropped.length).toBeGreaterThan(0);
    expect(dropped.every(({ dropReason }) => dropReason === 7)).toBe(true);
    await startGate();
    expect(await curl('/public/3')).toBe('GET /public/3\n200');
  });

  it('runs as nobody, without any capability', () => {
    const status = readFileSync(`/proc/${lab.gate.child.pid}/status`, 'utf8');
    expect(status).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(status).toContain(`${set}:\t0000000000000000`);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  });
});
