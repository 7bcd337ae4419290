import { DROP_REASON } from '@palisade/flow';
import { compileHttpMatch, type HttpMatch, type HttpRule, type L7RuleSet } from '@palisade/policy';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CLIENT_HELLO, segment } from './testing/http-packet.ts';
import { kernelUnavailable } from './testing/kernel-available.ts';
import { PacketLab } from './testing/packet-lab.ts';
import { PROTOCOL, TCP, frame, ipv4, ipv6 } from './testing/packet.ts';
import { entry, resolvedNode } from './testing/resolved-fixture.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const OUT = { from: '10.1.0.1', to: '10.2.0.2' };
const IN = { from: '10.2.0.2', to: '10.1.0.1' };
const OUT6 = { from: 'fd01::1', to: 'fd02::2' };
const IN6 = { from: 'fd02::2', to: 'fd01::1' };
const SERVER = 10;
const RULES: readonly HttpRule[] = [{ method: 'GET', path: '/public/.*', ruleId: 100 }, { method: 'POST', path: '/submit', ruleId: 102 }];
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const URG = 0x20;

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: server\r\n${more}\r\n`;
const post = (length: number, body = ''): string => `POST /submit HTTP/1.1\r\nHost: server\r\nContent-Length: ${length}\r\n\r\n${body}`;

let nextPort = 20_000;

/** What becomes of a segment. */
type Fate = 'passes' | 'is dropped' | '403' | 'reset';

/** One's complement sum of 16 bit words (RFC 1071). */
function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) for (let at = 0; at < part.length; at += 2) sum += ((part[at] ?? 0) << 8) | (part[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

describe.skipIf(unavailable)('soft rules on HTTP in the kernel', () => {
  let lab: PacketLab;
  let revision = 0;

  async function apply(sets: readonly L7RuleSet[]): Promise<void> {
    const entries = [
      entry('egress', 0, 0, 0, 'deny', 1),
      entry('ingress', 0, 0, 0, 'deny', 3),
      { ...entry('egress', SERVER, PROTOCOL.tcp, 80, 'l7', 2), l7: 0 },
      { ...entry('egress', SERVER, PROTOCOL.udp, 80, 'l7', 2), l7: 0 },
    ];
    const addresses = [`${OUT.to}/32`, `${OUT6.to}/128`].map((cidr) => ({ cidr, peerClass: SERVER, identity: 900 }));
    await lab.applyNode({ ...resolvedNode({ 'pod/lab/subject': entries }, addresses, (revision += 1)), l7Rules: sets });
  }
  const soft = (...rules: readonly HttpRule[]): Promise<void> => apply([{ mode: 'soft', http: rules }]);

  class Exchange {
    readonly port = nextPort++;
    readonly #v6: boolean;
    sent: number;
    received = 5000;

    constructor(options: { readonly v6?: boolean; readonly first?: number; readonly handshake?: boolean } = {}) {
      this.#v6 = options.v6 === true;
      this.sent = options.first ?? 1000;
      if (options.handshake === false) return;
      expect(this.#out('', TCP.syn, this.sent - 1)).toBe('passes');
      this.#in('', TCP.syn, this.received - 1);
    }

    /** Syn without acknowledgement, everything else with it. */
    #segment(from: number, to: number, sequence: number, acknowledged: number, payload: string | Uint8Array, flags: number): Uint8Array {
      const bytes = segment(from, to, sequence, payload, flags);
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(8, acknowledged >>> 0);
      return bytes;
    }
    #out(payload: string | Uint8Array, flags: number, sequence: number): Fate {
      const bytes = this.#segment(this.port, 80, sequence, this.received, payload, flags);
      if (flags === TCP.syn) bytes[13] = TCP.syn;
      const packet = frame(this.#v6 ? ipv6(OUT6, 6, bytes) : ipv4(OUT, 6, bytes));
      const found = lab.answerTo(packet);
      if (found === undefined) return 'is dropped';
      if (!found.turned) return 'passes';
      return this.#answer(packet, found.packet, sequence + payload.length + ((flags & TCP.fin) === 0 ? 0 : 1));
    }
    #in(payload: string, flags: number, sequence: number): void {
      const bytes = this.#segment(80, this.port, sequence, this.sent, payload, flags);
      expect(lab.receives(frame(this.#v6 ? ipv6(IN6, 6, bytes) : ipv4(IN, 6, bytes)))).toBe(true);
    }
    /** Checks the packet that goes back to the client, to the last bit. */
    #answer(packet: Uint8Array, answer: Uint8Array, acknowledged: number): Fate {
      expect(answer.slice(0, 12)).toEqual(Uint8Array.from([...packet.slice(6, 12), ...packet.slice(0, 6)]));
      const ip = answer.slice(14);
      const l4 = this.#v6 ? 40 : 20;
      const ends = this.#v6 ? ip.slice(8, 40) : ip.slice(12, 20);
      const sent = packet.slice(14);
      const back = this.#v6 ? [...sent.slice(24, 40), ...sent.slice(8, 24)] : [...sent.slice(16, 20), ...sent.slice(12, 16)];
      expect([...ends]).toEqual(back);
      const view = new DataView(ip.buffer, ip.byteOffset);
      expect(view.getUint16(this.#v6 ? 4 : 2) + (this.#v6 ? 40 : 0)).toBe(ip.length);
      const tcp = ip.slice(l4);
      expect(checksum(ends, Uint8Array.of(0, 6, tcp.length >> 8, tcp.length & 0xff), tcp)).toBe(0xffff);
      const header = new DataView(tcp.buffer, tcp.byteOffset);
      expect([header.getUint16(0), header.getUint16(2), header.getUint32(4), header.getUint32(8)]).toEqual([80, this.port, this.received, acknowledged >>> 0]);
      if (tcp.length === 20) {
        expect(tcp[13]).toBe(TCP.rst | TCP.ack);
        return 'reset';
      }
      expect(tcp[13]).toBe(TCP.fin | TCP.ack | 0x08);
      const text = Buffer.from(tcp.slice(20)).toString('latin1');
      expect(text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n[^]*\r\n\r\nAccess denied by network policy\.\n$/);
      expect(/Content-Length: *(\d+)/.exec(text)?.[1]).toBe(String(text.split('\r\n\r\n')[1]?.length));
      return '403';
    }

    asks(payload: string | Uint8Array, flags = 0): Fate {
      const fate = this.#out(payload, flags, this.sent);
      this.sent += payload.length;
      return fate;
    }
    /** Says something at a place of its own in the stream. */
    at(sequence: number, payload: string, flags = 0): Fate {
      return this.#out(payload, flags, sequence);
    }
    acknowledges(flags = 0): Fate {
      return this.#out('', flags, this.sent);
    }
    answers(payload = OK): void {
      this.#in(payload, 0, this.received);
      this.received += payload.length;
    }
  }

  beforeAll(() => {
    lab = new PacketLab();
  });
  beforeEach(async () => {
    await soft(...RULES);
  });
  afterAll(() => lab.remove());

  it.each([['IPv4', false], ['IPv6', true]] as const)('let pass what a rule allows and answer 403 to the rest, over %s', async (_, v6) => {
    const allowed = new Exchange({ v6 });
    expect(allowed.asks(get('/public/a?token=b'))).toBe('passes');
    allowed.answers();
    expect(new Exchange({ v6 }).asks(get('/private'))).toBe('403');
    const events = await lab.events();
    expect(events).toContainEqual(expect.objectContaining({ event: 'l7', verdict: 'forwarded', ruleId: 100, http: expect.objectContaining({ method: 'GET', path: '/public/a', status: 200 }) }));
    expect(events).toContainEqual(
      expect.objectContaining({ event: 'l7', verdict: 'dropped', dropReason: DROP_REASON['l7-denied'], ruleId: 2, http: expect.objectContaining({ method: 'GET', path: '/private', host: 'server', status: 403 }) }),
    );
    expect(events).toContainEqual(expect.objectContaining({ event: 'dropped', verdict: 'dropped', dropReason: DROP_REASON['l7-denied'], ruleId: 2 }));
    expect(events).toContainEqual(expect.objectContaining({ event: 'new', verdict: 'forwarded', ruleId: 2 }));
  });

  it('judge every request of a connection that is kept, and end it with the first that is denied', () => {
    const kept = new Exchange();
    for (const path of ['/public/a', '/public/b']) {
      expect(kept.asks(get(path))).toBe('passes');
      expect(kept.acknowledges()).toBe('passes');
      kept.answers();
    }
    expect(kept.asks(get('/private'))).toBe('403');
    // The client's own acknowledgement and end go no further; more than that is reset.
    expect(kept.acknowledges()).toBe('is dropped');
    expect(kept.acknowledges(TCP.fin)).toBe('reset');
    expect(kept.asks(get('/public/c'))).toBe('reset');
    expect(kept.acknowledges(TCP.rst)).toBe('passes');
  });

  it('reset a request that is denied while an answer is awaited', () => {
    const eager = new Exchange();
    expect(eager.asks(get('/public/a'))).toBe('passes');
    expect(eager.asks(get('/private'))).toBe('reset');
  });

  it.each([
    ['a request line that is cut', get('/public/a').slice(0, 10)],
    ['a head that is cut', get('/public/a').slice(0, -2)],
    ['two requests in one segment', get('/public/a') + get('/public/b')],
    ['an allowed request with a denied one behind it', get('/public/a') + get('/private')],
    ['a body that is longer than it says', post(2, 'abc')],
    ['a chunked body', `POST /submit HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\r\n`],
    ['an empty line before the request', `\r\n${get('/public/a')}`],
    ['an encoded slash', get('/public/..%2fprivate')],
    ['several slashes', get('//public/a')],
    ['a dot segment', get('/public/../private')],
    ['an escape that is not needed', get('/public/%2e%2e/private')],
    ['two hosts', get('/public/a', 'Host: other\r\n')],
    ['a change of protocol', get('/public/a', 'Connection: Upgrade\r\nUpgrade: h2c\r\n')],
    ['TLS', CLIENT_HELLO],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['something else', '\0\0\0\x01binary'],
  ])('reset both ends at %s', async (_, payload) => {
    expect(new Exchange().asks(payload)).toBe('reset');
    const events = await lab.events();
    expect(events).toContainEqual(expect.objectContaining({ event: 'dropped', dropReason: DROP_REASON['l7-unparsed'], ruleId: 2 }));
    expect(events).toContainEqual(expect.objectContaining({ event: 'l7', verdict: 'dropped', dropReason: DROP_REASON['l7-unparsed'], ruleId: 2 }));
  });

  it('say of TLS and HTTP/2 what they are', async () => {
    new Exchange().asks(CLIENT_HELLO);
    new Exchange().asks('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    expect((await lab.events()).flatMap(({ http }) => http?.kind ?? [])).toEqual(['tls', 'http2']);
  });

  it.each([['a method that no rule knows', get('/public/a').replace('GET', 'BREW')], ['a method in lower case', get('/public/a').replace('GET', 'get')]])('deny %s', (_, payload) => {
    expect(new Exchange().asks(payload)).toBe('403');
  });

  it('let a body pass to its end, in whatever order and however often it comes', () => {
    const one = new Exchange();
    const head = post(10, 'ab');
    const start = one.sent;
    expect(one.asks(head)).toBe('passes');
    const body = start + head.length - 2;
    expect(one.at(body + 6, 'wxyz')).toBe('passes');
    expect(one.at(body + 2, get('/p').slice(0, 4))).toBe('passes');
    expect(one.at(body + 2, 'abcdefgh')).toBe('passes');
    expect(one.at(body + 8, 'yzGET')).toBe('reset');
  });

  it('judge what is sent again like the first time, and take nothing else for it', () => {
    const again = new Exchange();
    const start = again.sent;
    expect(again.asks(get('/public/a'))).toBe('passes');
    expect(again.at(start, get('/public/a'))).toBe('passes');
    expect(again.at(start, get('/private/'))).toBe('reset');
    const longer = new Exchange();
    const first = longer.sent;
    expect(longer.asks(get('/public/a'))).toBe('passes');
    expect(longer.at(first, get('/public/abc'))).toBe('reset');
  });

  it('drop what lies before the last request and behind what has been judged, without ending the connection', () => {
    const one = new Exchange();
    const start = one.sent;
    expect(one.asks(get('/public/a'))).toBe('passes');
    one.answers();
    expect(one.asks(get('/public/b'))).toBe('passes');
    one.answers();
    expect(one.at(start, get('/public/a'))).toBe('is dropped');
    expect(one.at(start + 5, 'x')).toBe('is dropped');
    expect(one.at(one.sent + 1, get('/public/c'))).toBe('is dropped');
    expect(one.at(one.sent - 1, '\n')).toBe('is dropped');
    expect(one.asks(get('/public/c'))).toBe('passes');
  });

  it('reset a connection that goes on behind data which passed unseen', () => {
    const one = new Exchange();
    expect(one.asks(get('/public/a'))).toBe('passes');
    one.answers();
    const next = one.sent + get('/public/unseen').length;
    const fates = Array.from({ length: 5 }, () => one.at(next, get('/public/b')));
    expect(fates).toEqual(['is dropped', 'is dropped', 'is dropped', 'is dropped', 'reset']);
  });

  it('follow sequence numbers past their end', () => {
    const one = new Exchange({ first: 0xffffffff - 20 });
    expect(one.asks(get('/public/a'))).toBe('passes');
    one.answers();
    expect(one.asks(post(100, 'x'.repeat(100)))).toBe('passes');
    one.answers();
    expect(one.asks(get('/private'))).toBe('403');
  });

  it('reset connections whose beginning they did not see, and urgent data', () => {
    expect(new Exchange({ handshake: false }).asks(get('/public/a'))).toBe('reset');
    expect(new Exchange().asks(get('/public/a'), URG)).toBe('reset');
  });

  it('keep the first number of a connection that is opened again and again', () => {
    const one = new Exchange();
    expect(one.at(one.sent - 1, '', TCP.syn)).toBe('passes');
    expect(one.at(one.sent - 11, '', TCP.syn)).toBe('is dropped');
    expect(one.at(one.sent - 10, get('/public/a'))).toBe('is dropped');
    expect(one.asks(get('/public/a'))).toBe('passes');
  });

  it('take no data with the opening, no fragments and no other protocol', () => {
    const port = nextPort++;
    const opening = segment(port, 80, 1, get('/public/a'));
    opening[13] = TCP.syn;
    expect(lab.sends(frame(ipv4(OUT, 6, opening)))).toBe(false);
    const one = new Exchange();
    expect(lab.sends(frame(ipv4(OUT, 6, segment(one.port, 80, one.sent, get('/public/a')), { moreFragments: true })))).toBe(false);
    expect(lab.sends(frame(ipv4(OUT, 17, Uint8Array.of(0, 9, 0, 80, 0, 12, 0, 0, 1, 2, 3, 4))))).toBe(false);
  });

  it('judge the next request of an open connection by the policy in force', async () => {
    const one = new Exchange();
    expect(one.asks(get('/public/a'))).toBe('passes');
    one.answers();
    await soft({ path: '/other', ruleId: 104 });
    expect(one.asks(get('/other'))).toBe('passes');
    one.answers();
    expect(one.asks(get('/public/a'))).toBe('403');
  });

  it('are the gate’s where their tables would be too large, and dropped where there is none', async () => {
    await soft({ path: '/(a|b)*a(a|b){20}', ruleId: 106 });
    const port = nextPort++;
    const opening = segment(port, 80, 1);
    opening[13] = TCP.syn;
    expect(lab.sends(frame(ipv4(OUT, 6, opening)))).toBe(false);
    expect(await lab.events()).toContainEqual(expect.objectContaining({ event: 'dropped', dropReason: DROP_REASON['l7-denied'] }));
  });

  it('agree with the evaluator about requests', async () => {
    const optional = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(one, { nil: undefined });
    const rule = fc.record({
      method: optional(fc.constantFrom('GET', 'GET|PUT', '[A-Z]+')), path: optional(fc.constantFrom('/a.*', '/(a|b)/[^/]*', '/', '/[ab]+/?', '^/b$', '.*[?].*')),
      host: optional(fc.constantFrom('a', '.*', '[a-c]', '^b$')), headers: optional(fc.array(fc.record({ name: fc.constantFrom('X-A', 'x-b'), value: optional(fc.constantFrom('1', 'a b')) }), { maxLength: 2 })),
    });
    const request = fc.record({
      method: fc.constantFrom('GET', 'PUT', 'BREW'), path: fc.tuple(fc.array(fc.constantFrom('a', 'b', 'aa', '%25'), { maxLength: 3 }), fc.constantFrom('', '?', '?a=/../')).map(([segments, query]) => `/${segments.join('/')}${query}`),
      host: fc.constantFrom('a', 'b', 'c:80'), headers: fc.dictionary(fc.constantFrom('x-a', 'X-B', 'other'), fc.constantFrom('1', 'a b', '2'), { maxKeys: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(rule, { minLength: 1, maxLength: 4 }), fc.array(request, { minLength: 20, maxLength: 60 }), async (rules, requests) => {
        await soft(...(rules as HttpMatch[]).map((one, index) => ({ ...one, ruleId: 200 + 2 * index })));
        const tests = (rules as HttpMatch[]).map(compileHttpMatch);
        for (const one of requests) {
          const head = `${one.method} ${one.path} HTTP/1.1\r\nHost: ${one.host}\r\n${Object.entries(one.headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
          expect([rules, one, new Exchange().asks(head)]).toEqual([rules, one, tests.some((matches) => matches(one)) ? 'passes' : '403']);
        }
      }),
      { numRuns: 40 },
    );
  });
});
