import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { kernelUnavailable } from './testing/kernel-available.ts';
import { PacketLab } from './testing/packet-lab.ts';
import { PROTOCOL, TCP, fragmentHeader, frame, icmp, ipv4, ipv6, optionsHeader, sctp, tcp, udp } from './testing/packet.ts';
import { entry } from './testing/resolved-fixture.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const PEER = 10;
const OUT = { from: '10.1.0.1', to: '10.2.0.2' };
const IN = { from: '10.2.0.2', to: '10.1.0.1' };
const OUT6 = { from: 'fd01::1', to: 'fd02::2' };
const IN6 = { from: 'fd02::2', to: 'fd01::1' };
const ADDRESSES = [
  { cidr: '10.2.0.2/32', peerClass: PEER, identity: 1000 },
  { cidr: 'fd02::2/128', peerClass: PEER, identity: 1000 },
  { cidr: '0.0.0.0/0', peerClass: 1, identity: 2 },
  { cidr: '::/0', peerClass: 1, identity: 2 },
];
/** Isolated both ways; may open TCP 80, UDP 53, SCTP 7 and ping (v4, v6) towards the peer. */
const POLICY = [
  entry('ingress', 0, 0, 0, 'deny', 1),
  entry('egress', 0, 0, 0, 'deny', 3),
  entry('egress', PEER, PROTOCOL.tcp, 80, 'allow', 2),
  entry('egress', PEER, PROTOCOL.udp, 53, 'allow', 4),
  entry('egress', PEER, PROTOCOL.sctp, 7, 'allow', 6),
  entry('egress', PEER, PROTOCOL.icmp, 8, 'allow', 8),
  entry('egress', PEER, PROTOCOL.icmp6, 128, 'allow', 10),
];

let nextPort = 20_000;
const port = (): number => nextPort++;

describe.skipIf(unavailable)('the programs on crafted packets', () => {
  let lab: PacketLab;
  beforeAll(async () => {
    lab = new PacketLab();
    await lab.apply(POLICY, ADDRESSES);
  });
  beforeEach(async () => {
    await lab.events();
  });
  afterAll(() => lab.remove());

  const out = (segment: Uint8Array, protocol: number = PROTOCOL.tcp): boolean => lab.sends(frame(ipv4(OUT, protocol, segment)));
  const back = (segment: Uint8Array, protocol: number = PROTOCOL.tcp): boolean => lab.receives(frame(ipv4(IN, protocol, segment)));
  async function reasons(): Promise<number[]> {
    return (await lab.events()).filter((event) => event.event === 'dropped').map((event) => event.dropReason);
  }

  describe('TCP connections', () => {
    it('admit replies of what was allowed and nothing else', () => {
      const own = port();
      expect(back(tcp(80, own, TCP.syn | TCP.ack))).toBe(false);
      expect(out(tcp(own, 80))).toBe(true);
      expect(back(tcp(80, own, TCP.syn | TCP.ack))).toBe(true);
      expect(out(tcp(own, 80, TCP.ack))).toBe(true);
      expect(back(tcp(80, own, TCP.ack))).toBe(true);
      expect(back(tcp(80, own + 1, TCP.ack))).toBe(false);
      expect(back(tcp(81, own, TCP.ack))).toBe(false);
      expect(out(tcp(own, 81))).toBe(false);
    });
    it('do not let the peer open one over the ports of an allowed one', () => {
      const own = port();
      expect(out(tcp(own, 80))).toBe(true);
      expect(back(tcp(80, own, TCP.syn))).toBe(false);
      expect(back(tcp(80, own, TCP.syn | TCP.ack))).toBe(true);
    });
    it('start anew when their ports are used again after an end', async () => {
      const own = port();
      out(tcp(own, 80));
      back(tcp(80, own, TCP.rst | TCP.ack));
      await lab.events();
      expect(out(tcp(own, 80))).toBe(true);
      expect((await lab.events()).map((event) => event.event)).toEqual(['closed', 'new']);
    });
    it('let the peer finish after one end has closed', () => {
      const own = port();
      out(tcp(own, 80));
      back(tcp(80, own, TCP.syn | TCP.ack));
      expect(out(tcp(own, 80, TCP.fin | TCP.ack))).toBe(true);
      expect(back(tcp(80, own, TCP.ack))).toBe(true);
      expect(back(tcp(80, own, TCP.fin | TCP.ack))).toBe(true);
      expect(out(tcp(own, 80, TCP.ack))).toBe(true);
    });
    it.each([
      ['a lone SYN after a minute', 61_000, false],
      ['an answered one within six hours', 3_600_000, true],
      ['an answered one after six hours', 21_601_000, true],
    ] as const)('forget %s', (_, idleMs, answered) => {
      const own = port();
      out(tcp(own, 80));
      if (answered) back(tcp(80, own, TCP.syn | TCP.ack));
      lab.age(idleMs);
      expect(back(tcp(80, own, TCP.ack))).toBe(idleMs === 3_600_000);
    });
    it('are refused a second handshake step that nobody asked for', async () => {
      expect(out(tcp(port(), 80, TCP.syn | TCP.ack))).toBe(false);
      expect(await reasons()).toEqual([8]);
    });
  });

  describe('UDP and SCTP', () => {
    it('admit answers while the exchange is young', () => {
      const own = port();
      expect(back(udp(53, own), PROTOCOL.udp)).toBe(false);
      expect(out(udp(own, 53), PROTOCOL.udp)).toBe(true);
      expect(back(udp(53, own), PROTOCOL.udp)).toBe(true);
      lab.age(301_000);
      expect(back(udp(53, own), PROTOCOL.udp)).toBe(false);
    });
    it('tell SCTP from TCP and UDP', () => {
      const own = port();
      expect(out(sctp(own, 7), PROTOCOL.sctp)).toBe(true);
      expect(back(sctp(7, own), PROTOCOL.sctp)).toBe(true);
      expect(out(sctp(own, 80), PROTOCOL.sctp)).toBe(false);
    });
    it('are dropped with a reason where lengths lie', async () => {
      expect(out(udp(port(), 53, 4, 40), PROTOCOL.udp)).toBe(false);
      expect(out(udp(port(), 53, 4, 7), PROTOCOL.udp)).toBe(false);
      expect(await reasons()).toEqual([3, 3]);
    });
  });

  describe('ICMP', () => {
    it('admits the answer to a ping and not the peer’s own ping with the same identifier', () => {
      const id = port();
      expect(back(icmp(0, 0, id), PROTOCOL.icmp)).toBe(false);
      expect(out(icmp(8, 0, id), PROTOCOL.icmp)).toBe(true);
      expect(back(icmp(0, 0, id), PROTOCOL.icmp)).toBe(true);
      expect(back(icmp(8, 0, id), PROTOCOL.icmp)).toBe(false);
      expect(out(icmp(13, 0, id), PROTOCOL.icmp)).toBe(false);
    });
    it.each([['unreachable', 3], ['too big', 3], ['time exceeded', 11]])('admits an error (%s) about an own connection only', (_, type) => {
      const own = port();
      out(tcp(own, 80));
      const about = (destinationPort: number): Uint8Array => icmp(type, 4, 0, ipv4(OUT, PROTOCOL.tcp, tcp(own, destinationPort).subarray(0, 8), { totalLength: 1500 }));
      const router = { from: '192.0.2.1', to: OUT.from };
      expect(lab.receives(frame(ipv4(router, PROTOCOL.icmp, about(80))))).toBe(true);
      expect(lab.receives(frame(ipv4(router, PROTOCOL.icmp, about(81))))).toBe(false);
    });
    it('does not admit an error to anybody but the sender of the packet that it quotes', () => {
      const own = port();
      out(tcp(own, 80));
      const about = icmp(3, 4, 0, ipv4(OUT, PROTOCOL.tcp, tcp(own, 80).subarray(0, 8), { totalLength: 1500 }));
      expect(lab.receives(frame(ipv4({ from: '192.0.2.1', to: '10.1.0.99' }, PROTOCOL.icmp, about)))).toBe(false);
    });
    it('admits packet-too-big about an own IPv6 connection, also right after a policy change that still allows it', async () => {
      const own = port();
      lab.sends(frame(ipv6(OUT6, PROTOCOL.tcp, tcp(own, 80))));
      await lab.apply([...POLICY, entry('egress', 1, PROTOCOL.tcp, 9, 'allow', 20)], ADDRESSES);
      const tooBig = (destinationPort: number): Uint8Array => icmp(2, 0, 0, ipv6(OUT6, PROTOCOL.tcp, tcp(own, destinationPort), [], 1400));
      expect(lab.receives(frame(ipv6({ from: 'fd03::1', to: OUT6.from }, PROTOCOL.icmp6, tooBig(80))))).toBe(true);
      expect(lab.receives(frame(ipv6({ from: 'fd03::1', to: OUT6.from }, PROTOCOL.icmp6, tooBig(81))))).toBe(false);
    });
    it('never touches neighbour discovery and multicast listener reports', () => {
      for (const type of [133, 134, 135, 136, 137, 130, 131, 132, 143]) {
        expect(lab.receives(frame(ipv6(IN6, PROTOCOL.icmp6, icmp(type))))).toBe(true);
        expect(lab.sends(frame(ipv6(OUT6, PROTOCOL.icmp6, icmp(type))))).toBe(true);
      }
      expect(lab.receives(frame(ipv6(IN6, PROTOCOL.icmp6, icmp(128))))).toBe(false);
    });
  });

  describe('IPv6', () => {
    it('is judged behind extension headers', async () => {
      const chain = [optionsHeader(0), optionsHeader(43, 2), optionsHeader(60, 1)];
      expect(lab.sends(frame(ipv6(OUT6, PROTOCOL.tcp, tcp(port(), 80), chain)))).toBe(true);
      expect(lab.sends(frame(ipv6(OUT6, PROTOCOL.tcp, tcp(port(), 81), chain)))).toBe(false);
      expect(await reasons()).toEqual([1]);
    });
    it('is dropped with more extension headers than anything needs, or with one that runs out of the packet', async () => {
      expect(lab.sends(frame(ipv6(OUT6, PROTOCOL.tcp, tcp(port(), 80), Array.from({ length: 9 }, () => optionsHeader(60)))))).toBe(false);
      expect(await reasons()).toEqual([3]);
      const overrun = optionsHeader(60, 1);
      overrun.bytes[1] = 200;
      expect(lab.sends(frame(ipv6(OUT6, PROTOCOL.tcp, tcp(port(), 80), [overrun])))).toBe(false);
      expect(await reasons()).toEqual([3]);
    });
    it('treats an atomic fragment as the packet it is', () => {
      expect(lab.sends(frame(ipv6(OUT6, PROTOCOL.udp, udp(port(), 53), [fragmentHeader(0, false)])))).toBe(true);
    });
  });

  describe('fragments', () => {
    const first4 = (id: number, destinationPort: number): Uint8Array =>
      frame(ipv4(OUT, PROTOCOL.udp, udp(port(), destinationPort, 24, 100), { moreFragments: true, id }));
    const later4 = (id: number): Uint8Array => frame(ipv4(OUT, PROTOCOL.udp, new Uint8Array(32), { fragmentOffset: 32, id }));

    it('follow the first one’s verdict', async () => {
      expect(lab.sends(first4(501, 53))).toBe(true);
      expect(lab.sends(later4(501))).toBe(true);
      expect(lab.sends(first4(502, 54))).toBe(false);
      expect(lab.sends(later4(502))).toBe(false);
      expect(await reasons()).toEqual([1, 4]);
    });
    it('that would overwrite the flags of a TCP header are dropped as invalid', async () => {
      const first = frame(ipv4(OUT, PROTOCOL.tcp, tcp(port(), 80), { moreFragments: true, id: 510 }));
      expect(lab.sends(first)).toBe(true);
      expect(lab.sends(frame(ipv4(OUT, PROTOCOL.tcp, new Uint8Array(16), { fragmentOffset: 8, id: 510 })))).toBe(false);
      expect(await reasons()).toEqual([3]);
    });
    it('are dropped when the first one was not seen', () => expect(lab.sends(later4(503))).toBe(false));
    it('follow the first one’s verdict over IPv6', () => {
      const rest = new Uint8Array(32);
      expect(lab.sends(frame(ipv6(OUT6, PROTOCOL.udp, udp(port(), 53, 24, 100), [fragmentHeader(0, true, 601)])))).toBe(true);
      expect(lab.sends(frame(ipv6(OUT6, PROTOCOL.udp, rest, [fragmentHeader(32, false, 601)])))).toBe(true);
      expect(lab.sends(frame(ipv6(OUT6, PROTOCOL.udp, rest, [fragmentHeader(32, false, 602)])))).toBe(false);
    });
  });

  describe('frames', () => {
    it.each([['one VLAN tag', [0x8100]], ['two VLAN tags', [0x88a8, 0x8100]]])('are judged behind %s', (_, tags) => {
      expect(lab.sends(frame(ipv4(OUT, PROTOCOL.tcp, tcp(port(), 80)), 0x0800, tags))).toBe(true);
      expect(lab.sends(frame(ipv4(OUT, PROTOCOL.tcp, tcp(port(), 81)), 0x0800, tags))).toBe(false);
    });
    it('pass as ARP; other protocols are dropped where the endpoint is isolated', async () => {
      expect(lab.sends(frame(new Uint8Array(28), 0x0806))).toBe(true);
      expect(lab.sends(frame(new Uint8Array(28), 0x88cc))).toBe(false);
      expect(await reasons()).toEqual([5]);
    });
    it('are judged behind IP options', () => {
      expect(lab.sends(frame(ipv4(OUT, PROTOCOL.tcp, tcp(port(), 80), { options: 40 })))).toBe(true);
      expect(lab.sends(frame(ipv4(OUT, PROTOCOL.tcp, tcp(port(), 81), { options: 40 })))).toBe(false);
    });
    it.each([
      ['a wrong IP version', ipv4(OUT, PROTOCOL.tcp, tcp(1, 80), { version: 5 })],
      ['a header length below five words', ipv4(OUT, PROTOCOL.tcp, tcp(1, 80), { headerWords: 4 })],
      ['a header that is longer than the packet', ipv4(OUT, PROTOCOL.tcp, tcp(1, 80), { headerWords: 15, totalLength: 40 })],
      ['a total length beyond the frame', ipv4(OUT, PROTOCOL.tcp, tcp(1, 80), { totalLength: 400 })],
      ['a TCP header cut short', ipv4(OUT, PROTOCOL.tcp, tcp(1, 80).subarray(0, 12))],
      ['a TCP data offset below five words', ipv4(OUT, PROTOCOL.tcp, tcp(1, 80, TCP.syn, 4))],
      ['a TCP data offset beyond the packet', ipv4(OUT, PROTOCOL.tcp, tcp(1, 80, TCP.syn, 15))],
      ['an ICMP header cut short', ipv4(OUT, PROTOCOL.icmp, icmp(8).subarray(0, 4))],
      ['an IPv6 payload length beyond the frame', ipv6(OUT6, PROTOCOL.tcp, tcp(1, 80), [], 900)],
    ])('are dropped as invalid with %s', async (_, packet) => {
      expect(lab.sends(frame(packet))).toBe(false);
      expect(await reasons()).toEqual([3]);
    });
    it.each([
      ['IPv6', frame(ipv6(OUT6, PROTOCOL.tcp, tcp(901, 80), [optionsHeader(0), optionsHeader(60)])), 54],
      ['IPv4', frame(ipv4(OUT, PROTOCOL.tcp, tcp(902, 80), { options: 8 })), 34],
    ] as const)('are dropped, never passed, wherever they are cut after the %s header', (_, whole, header) => {
      // The kernel itself refuses to run programs on frames that are shorter.
      for (let length = header; length < whole.length; length += 1) expect([length, lab.sends(whole.subarray(0, length))]).toEqual([length, false]);
      expect(lab.sends(whole)).toBe(true);
    });
  });

  describe('policy', () => {
    it('keeps networks with equal addresses apart', async () => {
      const elsewhere = ADDRESSES.map((address) => (address.peerClass === PEER ? { ...address, network: 'other' } : address));
      await lab.apply(POLICY, elsewhere);
      expect(out(tcp(port(), 80))).toBe(false);
      await lab.apply(POLICY, ADDRESSES);
      expect(out(tcp(port(), 80))).toBe(true);
    });
    it('prefers the longest port prefix, then the class, then everybody', async () => {
      await lab.apply(
        [
          entry('egress', 0, 0, 0, 'deny', 1),
          entry('egress', 0, PROTOCOL.tcp, 8192, 'allow', 2, 3),
          entry('egress', 0, PROTOCOL.tcp, 8200, 'deny', 4),
          entry('egress', PEER, PROTOCOL.tcp, 8200, 'allow', 6),
          entry('egress', PEER, PROTOCOL.udp, 0, 'allow', 8),
        ],
        ADDRESSES,
      );
      const to = (address: string, destinationPort: number): boolean => lab.sends(frame(ipv4({ from: OUT.from, to: address }, PROTOCOL.tcp, tcp(port(), destinationPort))));
      expect([to('10.2.0.2', 8200), to('10.3.0.3', 8200), to('10.3.0.3', 8199), to('10.3.0.3', 8191)]).toEqual([true, false, true, false]);
      expect(lab.sends(frame(ipv4(OUT, PROTOCOL.udp, udp(port(), 9))))).toBe(true);
      await lab.apply(POLICY, ADDRESSES);
    });
    it('does not restrict a direction without entries', async () => {
      await lab.apply([entry('egress', 0, 0, 0, 'deny', 1)], ADDRESSES);
      expect(back(tcp(port(), 9))).toBe(true);
      expect(out(tcp(port(), 9))).toBe(false);
      await lab.apply(POLICY, ADDRESSES);
    });
    it('does not let a denied direction of a protocol without handshake block the other', async () => {
      await lab.apply([], ADDRESSES);
      expect(back(udp(123, 123), PROTOCOL.udp)).toBe(true);
      await lab.apply([entry('ingress', 0, 0, 0, 'deny', 1)], ADDRESSES);
      expect(back(udp(123, 123), PROTOCOL.udp)).toBe(false);
      expect(out(udp(123, 123), PROTOCOL.udp)).toBe(true);
      expect(back(udp(123, 123), PROTOCOL.udp)).toBe(true);
      await lab.apply(POLICY, ADDRESSES);
    });
    it('gives a re-allowed connection its way back', async () => {
      const own = port();
      out(tcp(own, 80));
      await lab.apply([entry('egress', 0, 0, 0, 'deny', 1)], ADDRESSES);
      expect(out(tcp(own, 80, TCP.ack))).toBe(false);
      expect(back(tcp(80, own, TCP.ack))).toBe(false);
      await lab.apply(POLICY, ADDRESSES);
      expect(back(tcp(80, own, TCP.ack))).toBe(true);
    });
  });
});
