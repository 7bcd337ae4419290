import type { KernelFlowEvent } from '@palisade/dataplane';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CLIENT_HELLO, segment } from './testing/http-packet.ts';
import { kernelUnavailable } from './testing/kernel-available.ts';
import { PacketLab } from './testing/packet-lab.ts';
import { TCP, frame, ipv4, ipv6, tcp } from './testing/packet.ts';
import { entry } from './testing/resolved-fixture.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const OUT = { from: '10.1.0.1', to: '10.2.0.2' };
const IN = { from: '10.2.0.2', to: '10.1.0.1' };
const OUT6 = { from: 'fd01::1', to: 'fd02::2' };
const IN6 = { from: 'fd02::2', to: 'fd01::1' };
const GET = 'GET /orders/17?token=secret HTTP/1.1\r\nUser-Agent: x\r\nHOST:  shop.example\r\nAccept: */*\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

let nextPort = 30_000;

/** One TCP connection of the endpoint to a server. */
class Exchange {
  readonly #lab: PacketLab;
  readonly #port = nextPort++;
  readonly #v6: boolean;
  #sent = 1000;
  #received = 5000;

  constructor(lab: PacketLab, v6 = false) {
    this.#lab = lab;
    this.#v6 = v6;
    this.#out(tcp(this.#port, 80, TCP.syn));
    this.#in(tcp(80, this.#port, TCP.syn | TCP.ack));
  }

  #out(bytes: Uint8Array): void {
    expect(this.#lab.sends(frame(this.#v6 ? ipv6(OUT6, 6, bytes) : ipv4(OUT, 6, bytes)))).toBe(true);
  }

  #in(bytes: Uint8Array): void {
    expect(this.#lab.receives(frame(this.#v6 ? ipv6(IN6, 6, bytes) : ipv4(IN, 6, bytes)))).toBe(true);
  }

  asks(payload: string | Uint8Array, again = false): void {
    if (again) this.#sent -= payload.length;
    this.#out(segment(this.#port, 80, this.#sent, payload));
    this.#sent += payload.length;
  }

  answers(payload: string, flags = 0): void {
    this.#in(segment(80, this.#port, this.#received, payload, flags));
    this.#received += payload.length;
  }

  reset(): void {
    this.#in(segment(80, this.#port, this.#received, '', TCP.rst));
  }
}

describe.skipIf(unavailable)('HTTP as the programs see it', () => {
  let lab: PacketLab;
  beforeAll(async () => {
    lab = new PacketLab();
    await lab.apply([entry('egress', 0, 0, 0, 'deny', 1), entry('egress', 1, 6, 80, 'allow', 2)], [
      { cidr: '0.0.0.0/0', peerClass: 1, identity: 2 },
      { cidr: '::/0', peerClass: 1, identity: 2 },
    ]);
  });
  beforeEach(async () => {
    await lab.events();
  });
  afterAll(() => lab.remove());

  async function exchanges(): Promise<NonNullable<KernelFlowEvent['http']>[]> {
    return (await lab.events()).flatMap(({ http }) => (http === undefined ? [] : [http]));
  }
  async function unparsed(work: () => void): Promise<bigint> {
    const before = (await lab.enforcer.counters()).http?.unparsed ?? 0n;
    work();
    return ((await lab.enforcer.counters()).http?.unparsed ?? 0n) - before;
  }

  it.each([['IPv4', false], ['IPv6', true]] as const)('is a method, a path without its query, a host and a status over %s', async (_, v6) => {
    const exchange = new Exchange(lab, v6);
    exchange.asks(GET);
    exchange.answers(OK);
    const [event] = (await lab.events()).filter(({ http }) => http !== undefined);
    expect(event).toMatchObject({
      event: 'l7', direction: 'egress', source: v6 ? OUT6.from : OUT.from, destination: v6 ? OUT6.to : OUT.to, destinationPort: 80, verdict: 'forwarded', ruleId: 2, packets: 0n,
      http: { kind: 'exchange', method: 'GET', path: '/orders/17', pathCut: false, host: 'shop.example', status: 200 },
    });
    expect(event?.http?.latencyUs).toBeGreaterThan(0);
  });

  it('is one exchange after the other on a connection that is kept', async () => {
    const exchange = new Exchange(lab);
    for (const [method, path, status] of [['GET', '/a', 200], ['DELETE', '/b', 204], ['OPTIONS', '/c', 405]] as const) {
      exchange.asks(`${method} ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      exchange.answers(`HTTP/1.1 ${status} y\r\n\r\n`);
      exchange.answers('GET /body HTTP/1.1\r\n\r\n');
    }
    expect((await exchanges()).map(({ method, path, status }) => [method, path, status])).toEqual([['GET', '/a', 200], ['DELETE', '/b', 204], ['OPTIONS', '/c', 405]]);
  });

  it('keeps bodies, interim answers and repeated segments apart from requests', async () => {
    const exchange = new Exchange(lab);
    const head = 'POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\nExpect: 100-continue\r\n\r\n';
    exchange.asks(head);
    exchange.asks(head, true);
    exchange.answers('HTTP/1.1 100 Continue\r\n\r\n');
    exchange.asks('GET /inside/a/body HTTP/1.1\r\n\r\n');
    exchange.answers('HTTP/1.1 201 Created\r\n\r\n');
    expect(await exchanges()).toMatchObject([{ method: 'POST', path: '/upload', status: 201 }]);
  });

  it.each([
    ['a request that is cut in its method', ['GE', 'T /a HTTP/1.1\r\n\r\n']],
    ['a request that is cut in its path', ['GET /a', '/b HTTP/1.1\r\n\r\n']],
    ['a request without a version', ['GET /a\r\n\r\n']],
    ['a version that is none', ['GET /a HTTP/1.2\r\n\r\n']],
    ['a target longer than what is read', [`GET /${'a'.repeat(600)} HTTP/1.1\r\n\r\n`]],
    ['a control character in the target', ['GET /a\u0001b HTTP/1.1\r\n\r\n']],
  ])('counts %s and tells nothing', async (_, parts) => {
    const counted = await unparsed(() => {
      const exchange = new Exchange(lab);
      for (const part of parts) exchange.asks(part);
      exchange.answers(OK);
    });
    expect(counted).toBe(1n);
    expect(await exchanges()).toEqual([]);
  });

  it('goes on with the request after one that could not be read', async () => {
    const exchange = new Exchange(lab);
    exchange.asks('GET /a');
    exchange.asks(' HTTP/1.1\r\n\r\n');
    exchange.answers(OK);
    exchange.asks(GET);
    exchange.answers(OK);
    expect(await exchanges()).toMatchObject([{ path: '/orders/17', status: 200 }]);
  });

  it('counts pipelined requests and gives none of them another one’s status', async () => {
    const counted = await unparsed(() => {
      const exchange = new Exchange(lab);
      exchange.asks('GET /first HTTP/1.1\r\n\r\nGET /second HTTP/1.1\r\n\r\n');
      exchange.answers('HTTP/1.1 200 OK\r\n\r\n');
      exchange.answers('HTTP/1.1 500 Oh\r\n\r\n');
    });
    expect(counted).toBe(1n);
    expect(await exchanges()).toMatchObject([{ path: '/first', status: 200 }]);
  });

  it('tells a request whose connection ends before the answer', async () => {
    const exchange = new Exchange(lab);
    exchange.asks(GET);
    exchange.reset();
    expect(await exchanges()).toMatchObject([{ method: 'GET', status: 0, latencyUs: 0 }]);
  });

  it('says where a path is longer than what is kept', async () => {
    const exchange = new Exchange(lab);
    exchange.asks(`GET /${'a'.repeat(300)} HTTP/1.1\r\n\r\n`);
    exchange.answers(OK);
    expect(await exchanges()).toMatchObject([{ path: `/${'a'.repeat(191)}`, pathCut: true, status: 200 }]);
  });

  it('does not take what follows an upgrade for HTTP', async () => {
    const exchange = new Exchange(lab);
    exchange.asks('GET /socket HTTP/1.1\r\nUpgrade: websocket\r\n\r\n');
    exchange.answers('HTTP/1.1 101 Switching Protocols\r\n\r\n');
    exchange.asks(GET);
    exchange.answers(OK);
    expect(await exchanges()).toMatchObject([{ path: '/socket', status: 101 }]);
  });

  it('recognises TLS and HTTP/2, whose content it cannot see', async () => {
    new Exchange(lab).asks(CLIENT_HELLO);
    new Exchange(lab).asks('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    expect((await exchanges()).map(({ kind, method, path }) => [kind, method, path])).toEqual([['tls', '', ''], ['http2', '', '']]);
  });

  it('never looks again at a connection that began with something else', async () => {
    const counted = await unparsed(() => {
      const exchange = new Exchange(lab);
      exchange.asks('\0\0\0\x01binary protocol');
      exchange.asks(GET);
      exchange.answers(OK);
      const greeting = new Exchange(lab);
      greeting.answers('220 mail.example ESMTP\r\n');
      greeting.asks(GET);
    });
    expect(counted).toBe(0n);
    expect(await exchanges()).toEqual([]);
  });
});
