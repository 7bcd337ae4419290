import type { KernelFlowEvent } from '@palisade/dataplane';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { dnsMessage, dnsPacket, type DnsMessage } from './testing/dns-message.ts';
import { segment } from './testing/http-packet.ts';
import { kernelUnavailable } from './testing/kernel-available.ts';
import { PacketLab } from './testing/packet-lab.ts';
import { PROTOCOL, TCP, frame, ipv4, ipv6, tcp } from './testing/packet.ts';
import { entry } from './testing/resolved-fixture.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const [OWN, RESOLVER, FORBIDDEN] = ['10.1.0.1', '10.2.0.53', '10.3.0.53'];
const [OWN6, RESOLVER6] = ['fd01::1', 'fd02::53'];

describe.skipIf(unavailable)('DNS as the programs see it', () => {
  let lab: PacketLab;
  let port = 20_000;
  beforeAll(async () => {
    lab = new PacketLab();
    await lab.apply([entry('egress', 0, 0, 0, 'deny', 1), entry('egress', 5, PROTOCOL.udp, 53, 'allow', 2), entry('egress', 5, PROTOCOL.tcp, 53, 'allow', 4), entry('ingress', 5, 0, 0, 'allow', 3)], [
      { cidr: `${RESOLVER}/32`, peerClass: 5, identity: 900 }, { cidr: `${RESOLVER6}/128`, peerClass: 5, identity: 900 },
      { cidr: '0.0.0.0/0', peerClass: 1, identity: 2 }, { cidr: '::/0', peerClass: 1, identity: 2 },
    ]);
  });
  beforeEach(async () => {
    port += 1;
    await lab.events();
  });
  afterAll(() => lab.remove());

  const asks = (message: DnsMessage, resolver = RESOLVER): boolean => lab.sends(frame(ipv4({ from: OWN, to: resolver }, PROTOCOL.udp, dnsPacket(port, 53, dnsMessage(message)))));
  const answers = (message: DnsMessage, resolver = RESOLVER): boolean => lab.receives(frame(ipv4({ from: resolver, to: OWN }, PROTOCOL.udp, dnsPacket(53, port, dnsMessage(message)))));
  async function told(): Promise<readonly KernelFlowEvent[]> {
    return (await lab.events()).filter(({ dns }) => dns !== undefined);
  }

  it('is an answer with its question, addresses and latency, under the verdict and the rule of its connection', async () => {
    asks({ id: 1, name: 'API.example.com' });
    answers({ id: 1, name: 'API.example.com', answers: [{ type: 'CNAME', target: 'edge.test' }, { type: 'A', address: '192.0.2.1', owner: 'edge.test', ttl: 30 }] });
    const [event, ...more] = await told();
    expect(more).toEqual([]);
    expect(event).toMatchObject({
      event: 'dns', direction: 'egress', source: OWN, sourcePort: port, destination: RESOLVER, destinationPort: 53, protocol: 17, verdict: 'forwarded', ruleId: 2, peerIdentity: 900, packets: 0n,
      dns: { kind: 'answer', message: { name: 'api.example.com', type: 1, rcode: 0, addresses: [{ address: '192.0.2.1', ttlSeconds: 30 }] } },
    });
    expect(event?.dns?.latencyUs).toBeGreaterThan(0);
  });
  it('is seen over IPv6 and with errors', async () => {
    lab.sends(frame(ipv6({ from: OWN6, to: RESOLVER6 }, PROTOCOL.udp, dnsPacket(port, 53, dnsMessage({ id: 2, name: 'a.test', type: 'AAAA' })))));
    lab.receives(frame(ipv6({ from: RESOLVER6, to: OWN6 }, PROTOCOL.udp, dnsPacket(53, port, dnsMessage({ id: 2, name: 'a.test', type: 'AAAA', rcode: 3, answers: [] })))));
    expect(await told()).toEqual([expect.objectContaining({ source: OWN6, destination: RESOLVER6, dns: expect.objectContaining({ message: { name: 'a.test', type: 28, rcode: 3, addresses: [] } }) })]);
  });
  it('keeps several questions of one port apart, and long answers whole up to 512 bytes', async () => {
    asks({ id: 3, name: 'one.test' });
    asks({ id: 4, name: 'two.test' });
    const many = (first: number, count: number): NonNullable<DnsMessage['answers']> => Array.from({ length: count }, (_, at) => ({ type: 'A' as const, address: `192.0.${first}.${at}` }));
    answers({ id: 4, name: 'two.test', answers: many(3, 25) });
    answers({ id: 3, name: 'one.test', answers: many(4, 60) });
    const events = await told();
    expect(events.map(({ dns }) => [dns?.message.name, dns?.message.addresses.length])).toEqual([['two.test', 25], ['one.test', 30]]);
    expect(events.every(({ dns }) => (dns?.latencyUs ?? 0) > 0)).toBe(true);
  });
  it('says what was asked where policy drops the question', async () => {
    expect(asks({ id: 5, name: 'evil.test' }, FORBIDDEN)).toBe(false);
    const events = await lab.events();
    expect(events.filter(({ dns }) => dns !== undefined)).toEqual([expect.objectContaining({ verdict: 'dropped', source: OWN, sourcePort: port, dns: expect.objectContaining({ kind: 'refused', message: expect.objectContaining({ name: 'evil.test' }) }) })]);
    expect(events).toContainEqual(expect.objectContaining({ event: 'dropped', source: OWN, sourcePort: port, destination: FORBIDDEN }));
  });
  it('is told at the asking end only, and not for what nobody asked', async () => {
    // This endpoint is the resolver here.
    lab.receives(frame(ipv4({ from: RESOLVER, to: OWN }, PROTOCOL.udp, dnsPacket(port, 53, dnsMessage({ id: 6, name: 'a.test' })))));
    lab.sends(frame(ipv4({ from: OWN, to: RESOLVER }, PROTOCOL.udp, dnsPacket(53, port, dnsMessage({ id: 6, name: 'a.test', answers: [] })))));
    lab.receives(frame(ipv4({ from: FORBIDDEN, to: OWN }, PROTOCOL.udp, dnsPacket(53, port, dnsMessage({ id: 7, name: 'b.test', answers: [] })))));
    expect(await told()).toEqual([]);
  });
  describe('over TCP', () => {
    const framed = (message: DnsMessage): Uint8Array => {
      const bytes = dnsMessage(message);
      return Buffer.concat([Uint8Array.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
    };
    const sends = (payload: Uint8Array | string): boolean => lab.sends(frame(ipv4({ from: OWN, to: RESOLVER }, PROTOCOL.tcp, segment(port, 53, 2, payload))));
    const receives = (payload: Uint8Array | string): boolean => lab.receives(frame(ipv4({ from: RESOLVER, to: OWN }, PROTOCOL.tcp, segment(53, port, 2, payload))));
    beforeEach(() => {
      lab.sends(frame(ipv4({ from: OWN, to: RESOLVER }, PROTOCOL.tcp, tcp(port, 53))));
      lab.receives(frame(ipv4({ from: RESOLVER, to: OWN }, PROTOCOL.tcp, tcp(53, port, TCP.syn | TCP.ack))));
      lab.sends(frame(ipv4({ from: OWN, to: RESOLVER }, PROTOCOL.tcp, tcp(port, 53, TCP.ack))));
    });

    it('is told like an answer in a datagram, as often as the connection is used', async () => {
      for (const id of [20, 21]) {
        expect(sends(framed({ id, name: `n${id}.test` }))).toBe(true);
        expect(receives(framed({ id, name: `n${id}.test`, answers: [{ type: 'A', address: `192.0.2.${id}` }] }))).toBe(true);
      }
      const events = await told();
      expect(events.map(({ protocol, dns }) => [protocol, dns?.message.name, dns?.message.addresses.map(({ address }) => address)])).toEqual([
        [6, 'n20.test', ['192.0.2.20']], [6, 'n21.test', ['192.0.2.21']],
      ]);
      expect(events.every(({ dns }) => (dns?.latencyUs ?? 0) > 0)).toBe(true);
    });
    it('is told as far as the first segment of a longer answer goes; the others tell nothing', async () => {
      const answer = framed({ id: 22, name: 'long.test', answers: Array.from({ length: 90 }, (_, at) => ({ type: 'A' as const, address: `192.0.3.${at}` })) });
      sends(framed({ id: 22, name: 'long.test' }));
      receives(answer.subarray(0, 400));
      receives(answer.subarray(400));
      const [event, ...more] = await told();
      expect(more).toEqual([]);
      expect(event?.dns?.message.addresses.length).toBeGreaterThan(15);
      expect(event?.dns?.message.addresses.length).toBeLessThan(30);
    });
    it('is not told of an answer to no question, nor of what is no message', async () => {
      receives(framed({ id: 23, name: 'a.test', answers: [] }));
      sends('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      receives('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      expect(await told()).toEqual([]);
    });
  });
  it('counts what cannot be read, and reads on', async () => {
    const before = (await lab.enforcer.counters()).unreadDns ?? 0n;
    const raw = (bytes: readonly number[]): Uint8Array => dnsPacket(53, port, Uint8Array.from(bytes));
    asks({ id: 8, name: 'a.test' });
    lab.receives(frame(ipv4({ from: RESOLVER, to: OWN }, PROTOCOL.udp, raw([0, 8, 0x81, 0x80, 0, 9, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1]))));
    answers({ id: 8, name: 'a.test', answers: [] });
    expect((await told()).map(({ dns }) => dns?.message.name)).toEqual(['a.test']);
    expect((await lab.enforcer.counters()).unreadDns).toBe(before + 1n);
  });
});
