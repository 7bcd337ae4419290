import { LEARNED_ADDRESS } from '@palisade/dataplane';
import type { ResolvedNode } from '@palisade/policy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dnsMessage, dnsPacket, type DnsMessage, type DnsRecord } from './testing/dns-message.ts';
import { kernelUnavailable } from './testing/kernel-available.ts';
import { PacketLab } from './testing/packet-lab.ts';
import { PROTOCOL, TCP, frame, ipv4, ipv6, tcp } from './testing/packet.ts';
import { entry, resolvedNode } from './testing/resolved-fixture.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const OWN = '10.1.0.1';
const RESOLVER = '10.2.0.53';
const OTHER_RESOLVER = '10.2.0.54';
const [WORLD, DNS, API, ORG, BOTH, DEEP, TWIN] = [1, 10, 50, 51, 52, 53, 54];
/** Different names with the same 64 bit FNV-1a value, last byte first: whoever matches names by a hash takes one for the other. */
const TWINS = ['g56yqeuou76up.example.com', 'hqb6b5tywtg3r.example.com'] as const;

function node(revision: number, more: readonly ReturnType<typeof entry>[] = []): ResolvedNode {
  const entries = [
    entry('egress', 0, 0, 0, 'deny', 1),
    entry('egress', DNS, PROTOCOL.udp, 53, 'allow', 2),
    ...[API, BOTH].map((peer) => entry('egress', peer, PROTOCOL.tcp, 443, 'allow', 4)),
    ...[ORG, BOTH].map((peer) => entry('egress', peer, PROTOCOL.tcp, 8443, 'allow', 6)),
    entry('egress', DEEP, PROTOCOL.tcp, 25, 'allow', 8),
    entry('egress', TWIN, PROTOCOL.tcp, 443, 'allow', 10),
    ...more,
  ];
  const addresses = [RESOLVER, OTHER_RESOLVER].map((address) => ({ cidr: `${address}/32`, peerClass: DNS, identity: 900 }));
  return {
    ...resolvedNode({ 'pod/lab/subject': entries }, [...addresses, { cidr: '0.0.0.0/0', peerClass: WORLD, identity: 2 }, { cidr: '::/0', peerClass: WORLD, identity: 2 }], revision),
    fqdn: {
      selectors: [{ kind: 'name', value: 'api.example.com' }, { kind: 'pattern', value: '*.example.org' }, { kind: 'pattern', value: '**.deep.test' }, { kind: 'name', value: TWINS[0] }],
      classes: [
        { baseClass: WORLD, selectors: [0], peerClass: API },
        { baseClass: WORLD, selectors: [1], peerClass: ORG },
        { baseClass: WORLD, selectors: [0, 1], peerClass: BOTH },
        { baseClass: WORLD, selectors: [2], peerClass: DEEP },
        { baseClass: WORLD, selectors: [3], peerClass: TWIN },
      ],
    },
  };
}

describe.skipIf(unavailable)('policy by DNS name in the kernel', () => {
  let lab: PacketLab;
  let next = 3000;
  let revision = 1;
  const apply = (more: readonly ReturnType<typeof entry>[] = []): Promise<void> =>
    lab.applyNode(node((revision += 1), more), { dnsResolvers: [{ network: 'default', address: RESOLVER }] });
  beforeAll(async () => {
    lab = new PacketLab();
    await apply();
  });
  afterAll(() => lab.remove());

  const query = (port: number, message: DnsMessage, resolver = RESOLVER): boolean =>
    lab.sends(frame(ipv4({ from: OWN, to: resolver }, PROTOCOL.udp, dnsPacket(port, 53, dnsMessage(message)))));
  const reply = (port: number, message: DnsMessage, resolver = RESOLVER): boolean =>
    lab.receives(frame(ipv4({ from: resolver, to: OWN }, PROTOCOL.udp, dnsPacket(53, port, dnsMessage(message)))));
  const connects = (address: string, port: number, flags: number = TCP.syn, own = (next += 1)): boolean =>
    address.includes(':')
      ? lab.sends(frame(ipv6({ from: 'fd01::1', to: address }, PROTOCOL.tcp, tcp(own, port, flags))))
      : lab.sends(frame(ipv4({ from: OWN, to: address }, PROTOCOL.tcp, tcp(own, port, flags))));
  function resolve(name: string, answers: readonly DnsRecord[], type: 'A' | 'AAAA' = 'A'): void {
    const port = (next += 1);
    expect(query(port, { id: port, name, type })).toBe(true);
    expect(reply(port, { id: port, name, type, answers })).toBe(true);
  }

  it('lets connections to an address pass once an own question was answered with it', () => {
    expect(connects('192.0.2.1', 443)).toBe(false);
    resolve('api.example.com', [{ type: 'A', address: '192.0.2.1' }, { type: 'A', address: '192.0.2.2' }]);
    expect([connects('192.0.2.1', 443), connects('192.0.2.2', 443), connects('192.0.2.1', 444), connects('192.0.2.3', 443)]).toEqual([true, true, false, false]);
  });
  it('learns every address of a long answer, in as many bytes as resolvers send in a datagram, and none of a longer one', () => {
    const many = (network: number, count: number): DnsRecord[] => Array.from({ length: count }, (_, at) => ({ type: 'A', address: `198.18.${network}.${at + 1}` }));
    resolve('api.example.com', many(1, 74));
    expect([1, 30, 74].map((last) => connects(`198.18.1.${last}`, 443))).toEqual([true, true, true]);
    resolve('api.example.com', many(2, 76));
    expect(connects('198.18.2.1', 443)).toBe(false);
  });

  it('ignores case, follows CNAME chains and learns IPv6 addresses', () => {
    resolve('API.Example.COM', [{ type: 'CNAME', target: 'edge.cdn.test' }, { type: 'A', address: '192.0.2.10', owner: 'edge.cdn.test' }]);
    resolve('api.example.com', [{ type: 'AAAA', address: '2001:db8::10' }], 'AAAA');
    expect([connects('192.0.2.10', 443), connects('2001:db8::10', 443), connects('2001:db8::11', 443)]).toEqual([true, true, false]);
  });
  it.each([
    ['nobody asked', () => reply(4001, { id: 4001, name: 'api.example.com', answers: [{ type: 'A', address: '192.0.2.20' }] })],
    ['the identifier differs', () => query(4002, { id: 1, name: 'api.example.com' }) && reply(4002, { id: 2, name: 'api.example.com', answers: [{ type: 'A', address: '192.0.2.20' }] })],
    ['the name differs', () => query(4003, { id: 1, name: 'api.example.com' }) && reply(4003, { id: 1, name: 'bpi.example.com', answers: [{ type: 'A', address: '192.0.2.20' }] })],
    ['the type differs', () => query(4004, { id: 1, name: 'api.example.com', type: 'AAAA' }) && reply(4004, { id: 1, name: 'api.example.com', answers: [{ type: 'A', address: '192.0.2.20' }] })],
    ['the resolver is none of the configured', () => query(4005, { id: 1, name: 'api.example.com' }, OTHER_RESOLVER) && reply(4005, { id: 1, name: 'api.example.com', answers: [{ type: 'A', address: '192.0.2.20' }] }, OTHER_RESOLVER)],
    ['the answer is truncated', () => query(4006, { id: 1, name: 'api.example.com' }) && reply(4006, { id: 1, name: 'api.example.com', truncated: true, answers: [{ type: 'A', address: '192.0.2.20' }] })],
    ['the answer is an error', () => query(4007, { id: 1, name: 'api.example.com' }) && reply(4007, { id: 1, name: 'api.example.com', rcode: 3, answers: [{ type: 'A', address: '192.0.2.20' }] })],
    ['only a hash of the name matches a selector', () => query(4009, { id: 1, name: TWINS[1] }) && reply(4009, { id: 1, name: TWINS[1], answers: [{ type: 'A', address: '192.0.2.20' }] })],
    ['only a hash of the name is that of the question', () => query(4010, { id: 1, name: TWINS[0] }) && reply(4010, { id: 1, name: TWINS[1], answers: [{ type: 'A', address: '192.0.2.20' }] })],
    ['a zero byte ends the name early', () => query(4011, { id: 1, name: '\0api.example.com' }) && reply(4011, { id: 1, name: '\0api.example.com', answers: [{ type: 'A', address: '192.0.2.20' }] })],
    ['the name matches no selector', () => query(4008, { id: 1, name: 'api.example.net' }) && reply(4008, { id: 1, name: 'api.example.net', answers: [{ type: 'A', address: '192.0.2.20' }] })],
  ])('learns nothing where %s', (_, exchange) => {
    exchange();
    expect(connects('192.0.2.20', 443)).toBe(false);
  });
  it('learns for a name as long as names get', async () => {
    const long = ['a', 'b', 'c'].map((letter) => letter.repeat(63)).join('.') + `.${'d'.repeat(61)}`;
    await lab.applyNode(
      { ...node((revision += 1)), fqdn: { selectors: [{ kind: 'name', value: long }], classes: [{ baseClass: WORLD, selectors: [0], peerClass: API }] } },
      { dnsResolvers: [{ network: 'default', address: RESOLVER }] },
    );
    resolve(long, [{ type: 'A', address: '192.0.2.21' }]);
    resolve(`x${long.slice(1)}`, [{ type: 'A', address: '192.0.2.22' }]);
    expect([connects('192.0.2.21', 443), connects('192.0.2.22', 443)]).toEqual([true, false]);
    await apply();
  });
  it('keeps the questions of one port apart by their names', () => {
    query(4101, { id: 1, name: 'api.example.com' });
    query(4101, { id: 1, name: TWINS[0] });
    reply(4101, { id: 1, name: 'api.example.com', answers: [{ type: 'A', address: '192.0.2.23' }] });
    reply(4101, { id: 1, name: TWINS[0], answers: [{ type: 'A', address: '192.0.2.24' }] });
    expect([connects('192.0.2.23', 443), connects('192.0.2.24', 443)]).toEqual([true, true]);
  });
  it('does not learn twice from one question', () => {
    query(4100, { id: 1, name: 'api.example.com' });
    reply(4100, { id: 1, name: 'api.example.com', answers: [] });
    reply(4100, { id: 1, name: 'api.example.com', answers: [{ type: 'A', address: '192.0.2.30' }] });
    expect(connects('192.0.2.30', 443)).toBe(false);
  });
  it('matches one label for one star and several for two', () => {
    resolve('www.example.org', [{ type: 'A', address: '192.0.2.40' }]);
    resolve('a.b.example.org', [{ type: 'A', address: '192.0.2.41' }]);
    resolve('example.org', [{ type: 'A', address: '192.0.2.42' }]);
    resolve('a.b.deep.test', [{ type: 'A', address: '192.0.2.43' }]);
    resolve('deep.test', [{ type: 'A', address: '192.0.2.44' }]);
    resolve('notexample.org', [{ type: 'A', address: '192.0.2.45' }]);
    expect(['192.0.2.40', '192.0.2.41', '192.0.2.42', '192.0.2.45'].map((address) => connects(address, 8443))).toEqual([true, false, false, false]);
    expect(['192.0.2.43', '192.0.2.44'].map((address) => connects(address, 25))).toEqual([true, false]);
  });
  it('gives an address that answers two names the rights of both', () => {
    resolve('api.example.com', [{ type: 'A', address: '192.0.2.50' }]);
    resolve('www.example.org', [{ type: 'A', address: '192.0.2.50' }]);
    expect([connects('192.0.2.50', 443), connects('192.0.2.50', 8443), connects('192.0.2.50', 25)]).toEqual([true, true, false]);
  });
  it('opens nothing new after the TTL, and keeps what is open across a policy change', async () => {
    resolve('api.example.com', [{ type: 'A', address: '192.0.2.60', ttl: 300 }]);
    const own = (next += 1);
    expect(connects('192.0.2.60', 443, TCP.syn, own)).toBe(true);
    const learned = lab.map('learned');
    const content = lab.kernel.readAll(learned);
    const size = content.keys.length / content.count;
    for (let at = 0; at < content.count; at += 1) {
      const value = LEARNED_ADDRESS.decode(content.values, at * LEARNED_ADDRESS.size);
      expect(value.expires_ns).toBeGreaterThan(lab.kernel.monotonicNs());
      lab.kernel.update(learned, content.keys.slice(at * size, (at + 1) * size), LEARNED_ADDRESS.encode({ ...value, expires_ns: 1n }));
    }
    lab.kernel.close(learned);
    expect(connects('192.0.2.60', 443)).toBe(false);
    await apply([entry('egress', WORLD, PROTOCOL.tcp, 9, 'allow', 10)]);
    expect(connects('192.0.2.60', 443, TCP.ack, own)).toBe(true);
  });
  it('keeps what it learned across policy changes', async () => {
    resolve('api.example.com', [{ type: 'A', address: '192.0.2.70' }]);
    await apply();
    await apply([entry('egress', WORLD, PROTOCOL.tcp, 9, 'allow', 10)]);
    expect(connects('192.0.2.70', 443)).toBe(true);
  });
});
