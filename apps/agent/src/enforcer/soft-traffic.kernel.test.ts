import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DROP_REASON } from '@palisade/flow';
import type { KernelFlowEvent } from '@palisade/dataplane';
import type { HttpRule, L7RuleSet, PolicyEntry } from '@palisade/policy';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FIRST_CLASS, HTTP_PORT as PORT, HttpLab } from './testing/http-lab.ts';
import type { HttpServerProcess, RawClient } from './testing/http-processes.ts';
import { kernelUnavailable } from './testing/kernel-available.ts';
import { entry } from './testing/resolved-fixture.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const execute = promisify(execFile);
const [CLIENT, SERVER] = [FIRST_CLASS, FIRST_CLASS + 1];
const RULES: readonly HttpRule[] = [{ method: 'GET', path: '/public/.*', ruleId: 100 }, { method: 'POST', path: '/submit', ruleId: 102 }];

function request(path: string, more = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: server.example\r\n${more}\r\n`;
}

describe.skipIf(unavailable).each([['TCX', []], ['clsact', ['tcx']]] as const)('soft rules on HTTP between pods, attached by %s', (_, without) => {
  const lab = new HttpLab(['client', 'server'], { without });
  const { network, folder } = lab;
  const [client, server] = [network.pod('client'), network.pod('server')];
  const clientPath = `/run/netns/${client.namespace}`;
  const l7 = (direction: 'ingress' | 'egress', peer: number, ruleId: number, set: number): PolicyEntry => ({ ...entry(direction, peer, 6, PORT, 'l7', ruleId), l7: set });
  const atServer = { 'pod/lab/server': [entry('ingress', 0, 0, 0, 'deny', 1), l7('ingress', CLIENT, 2, 0)] };
  const atClient = { 'pod/lab/client': [entry('egress', 0, 0, 0, 'deny', 3), l7('egress', SERVER, 4, 0)] };
  const atBoth = { 'pod/lab/server': [entry('ingress', 0, 0, 0, 'deny', 1), l7('ingress', CLIENT, 2, 1)], ...atClient };
  const soft = (...sets: (readonly HttpRule[])[]): L7RuleSet[] => sets.map((http) => ({ mode: 'soft', http }));
  let http: HttpServerProcess;

  /** Body and status; 000: the connection was reset. */
  async function curl(path: string, ...more: string[]): Promise<string> {
    const host = more.includes('-6') ? `[${server.address6}]` : server.address;
    const words = ['curl', '-s', '--max-time', '5', '-o', '-', '-w', '%{http_code}', ...more, `http://${host}:${PORT}${path}`];
    try {
      return (await execute('nsenter', [`--net=${clientPath}`, ...words])).stdout;
    } catch (error) {
      const { code, stdout } = error as { code: number; stdout: string };
      // 52, 56: reset by the peer. Anything else, above all 28, a time-out, is told.
      return code === 52 || code === 56 ? stdout : `curl ended with ${code}`;
    }
  }
  const raw = (): Promise<RawClient> => lab.raw(client, server.address);
  async function requests(side: 'ingress' | 'egress' = 'ingress'): Promise<KernelFlowEvent[]> {
    return (await lab.drain()).filter(({ event, direction }) => event === 'l7' && direction === side);
  }
  /** TCP connections that an end still has. */
  const connectionsOf = async (namespace: string): Promise<string> =>
    (await execute('nsenter', [`--net=/run/netns/${namespace}`, 'ss', '-Htn', 'state', 'established', `( sport = :${PORT} or dport = :${PORT} )`])).stdout.trim();

  beforeAll(async () => {
    [http] = (await lab.start(server)) as [HttpServerProcess];
  });
  beforeEach(async () => {
    await lab.apply(atServer, soft(RULES));
    http.output = '';
    await lab.drain();
  });
  afterAll(() => lab.stop());

  it.each([
    ['the server’s side over IPv4', atServer, []],
    ['the server’s side over IPv6', atServer, ['-6', '-g']],
    ['the client’s side over IPv4', atClient, []],
    ['the client’s side over IPv6', atClient, ['-6', '-g']],
  ] as const)('let pass what a rule allows and answer 403 to the rest, at %s', async (__, policies, options) => {
    await lab.apply(policies, soft(RULES));
    expect(await curl('/public/a?b=c', ...options)).toBe('GET /public/a?b=c\n200');
    expect(await curl('/private', ...options)).toBe('Access denied by network policy.\n403');
    expect(await curl('/submit', '--data-binary', 'x=y', ...options)).toBe('POST /submit\n200');
    expect(http.requests.map(({ method, url }) => `${method} ${url}`)).toEqual(['GET /public/a?b=c', 'POST /submit']);
    // Neither end is left with the connection that was refused.
    for (const { namespace } of [client, server]) await expect.poll(() => connectionsOf(namespace)).toBe('');
  });

  it('tell allowed and denied requests with their rules, and that nothing was redirected', async () => {
    await curl('/public/a?secret=1');
    await curl('/private');
    expect(await requests()).toMatchObject([
      { endpointSlot: 2, verdict: 'forwarded', dropReason: 0, ruleId: 100, peerIdentity: 1000, http: { method: 'GET', path: '/public/a', status: 200 } },
      { endpointSlot: 2, verdict: 'dropped', dropReason: DROP_REASON['l7-denied'], ruleId: 2, http: { method: 'GET', path: '/private', status: 403 } },
    ]);
  });

  it('let pass only what the rules of both sides allow', async () => {
    await lab.apply(atBoth, soft([{ path: '/public/.*', ruleId: 100 }], [{ path: '.*/both', ruleId: 200 }]));
    expect([await curl('/public/both'), await curl('/public/one'), await curl('/other/both')].map((text) => text.slice(-3))).toEqual(['200', '403', '403']);
    expect(http.requests.map(({ url }) => url)).toEqual(['/public/both']);
  });

  it('carry bodies of many segments', async () => {
    const body = join(folder, 'body');
    writeFileSync(body, 'GET /private HTTP/1.1\r\n\r\n'.repeat(20_000));
    expect(await curl('/submit', '--data-binary', `@${body}`, '-H', 'Expect:')).toBe('POST /submit\n200');
    expect(http.requests.map(({ size }) => size)).toEqual([500_000]);
  });

  it('judge every request of a connection that is kept', async () => {
    const one = await raw();
    one.say(request('/public/1'));
    expect(await one.answers(1)).toEqual([200]);
    one.say(request('/public/2'));
    expect(await one.answers(2)).toEqual([200, 200]);
    one.say(request('/private'));
    expect(await one.answers(3)).toEqual([200, 200, 403]);
    await one.until('the end of the connection', () => one.ended);
    expect(http.requests.map(({ url }) => url)).toEqual(['/public/1', '/public/2']);
  });

  it('judge the request after a body', async () => {
    const one = await raw();
    one.say(`POST /submit HTTP/1.1\r\nHost: a\r\nContent-Length: ${request('/private').length}\r\n\r\n`);
    one.say(request('/private'));
    expect(await one.answers(1)).toEqual([200]);
    one.say(request('/private'));
    expect(await one.answers(2)).toEqual([200, 403]);
    await one.kill();
    expect(http.requests.map(({ url }) => url)).toEqual(['/submit']);
  });

  it.each([
    ['a denied request behind an allowed one', request('/public/1') + request('/private')],
    ['a head that is cut', request('/public/1').slice(0, 20)],
    ['an encoded slash', request('/public%2f..%2fprivate')],
    ['several slashes', request('/public//a')],
    ['dot segments', request('/public/../private')],
    ['encoded dots', request('/public/%2e%2e/private')],
    ['a leading empty line', `\r\n${request('/public/a')}`],
    ['a bare line feed', 'GET /public/a HTTP/1.1\nHost: a\n\n'],
    ['a head that is too long', request('/public/a', `X-Long: ${'a'.repeat(8000)}\r\n`)],
    ['two lengths', 'POST /submit HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello'],
    ['chunks', 'POST /submit HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a WebSocket', request('/public/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n')],
    ['TLS', '\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ])('reset %s', async (__, text) => {
    const one = await raw();
    one.say(text);
    await one.until('the reset', () => one.ended);
    expect(one.errors).toContain('ECONNRESET');
    expect(one.output).toBe('');
    expect(http.requests).toEqual([]);
    expect(await requests()).toMatchObject([{ verdict: 'dropped', dropReason: DROP_REASON['l7-unparsed'], ruleId: 2 }]);
  });

  it('deny an unknown method', async () => {
    expect(await curl('/public/a', '-X', 'BREW')).toBe('Access denied by network policy.\n403');
  });

  it('reset connections that are older than they are', async () => {
    await lab.apply({ 'pod/lab/server': [entry('ingress', 0, 0, 0, 'deny', 1), entry('ingress', CLIENT, 6, PORT, 'allow', 6)] }, []);
    const open = await raw();
    open.say(request('/anything'));
    expect(await open.answers(1)).toEqual([200]);
    await lab.apply(atServer, soft(RULES));
    open.say(request('/public/a'));
    await open.until('the reset', () => open.ended);
    expect(http.requests.map(({ url }) => url)).toEqual(['/anything']);
  });
});
