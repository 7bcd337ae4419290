import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dnsMessage, dnsPacket } from './testing/dns-message.ts';
import { kernelUnavailable } from './testing/kernel-available.ts';
import { PacketLab } from './testing/packet-lab.ts';
import { PROTOCOL, TCP, fragmentHeader, frame, ipv4, ipv6, tcp } from './testing/packet.ts';
import { entry } from './testing/resolved-fixture.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const ENDS = { from: '10.1.0.1', to: '10.2.0.53' };
const ENDS6 = { from: 'fd01::1', to: 'fd02::53' };
const [QR, REFUSED] = [0x80, 5];

/** Sum of 16-bit words, folded (RFC 1071). */
function onesSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}

/** Sum over the datagram with its pseudo header; 0xffff where the checksum is right. */
function datagramSum(family: 4 | 6, packet: Uint8Array): number {
  const [addresses, start] = family === 4 ? [packet.subarray(12, 20), 20] : [packet.subarray(8, 40), 40];
  const udp = packet.subarray(start);
  return onesSum(Uint8Array.from([...addresses, 0, 0, udp.length >> 8, udp.length & 0xff, 0, 0, 0, PROTOCOL.udp, ...udp]));
}

/** With the checksum that a sender puts in. */
function summed(family: 4 | 6, packet: Uint8Array): Uint8Array {
  const whole = Uint8Array.from(packet);
  const sum = ~datagramSum(family, whole) & 0xffff || 0xffff;
  whole.set([sum >> 8, sum & 0xff], (family === 4 ? 20 : 40) + 6);
  return whole;
}

describe.skipIf(unavailable)('a question that policy denies', () => {
  let lab: PacketLab;
  beforeAll(async () => {
    lab = new PacketLab();
    await lab.apply([entry('egress', 0, 0, 0, 'deny', 1), entry('ingress', 0, 0, 0, 'deny', 3)], []);
  });
  afterAll(() => lab.remove());

  const question = dnsMessage({ id: 0x1234, name: 'secret.example.com' });
  const asked = (family: 4 | 6, message: Uint8Array, port = 53): Uint8Array => {
    const datagram = dnsPacket(4000, port, message);
    return summed(family, family === 4 ? ipv4(ENDS, PROTOCOL.udp, datagram) : ipv6(ENDS6, PROTOCOL.udp, datagram));
  };

  it.each([4, 6] as const)('turns round as its own answer, over IPv%i: ends swapped, QR and REFUSED set, the rest as it was, all sums right', (family) => {
    const sent = asked(family, question);
    const { packet, turned } = lab.answerTo(frame(sent)) ?? { packet: new Uint8Array(), turned: false };
    expect(turned).toBe(true);
    const [from, size, udp] = family === 4 ? [12, 4, 20] : [8, 16, 40];
    const wanted = Uint8Array.from(sent);
    wanted.set(sent.subarray(from, from + size), from + size);
    wanted.set(sent.subarray(from + size, from + 2 * size), from);
    wanted.set([...sent.subarray(udp + 2, udp + 4), ...sent.subarray(udp, udp + 2)], udp);
    wanted.set([QR | 1, REFUSED], udp + 8 + 2);
    const answer = packet.subarray(14);
    expect(datagramSum(family, answer)).toBe(0xffff);
    wanted.set(answer.subarray(udp + 6, udp + 8), udp + 6);
    expect(answer).toEqual(wanted);
    expect([...packet.subarray(0, 12)]).toEqual([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
  });

  it('keeps a datagram over IPv4 without a checksum without one', () => {
    const { packet } = lab.answerTo(frame(ipv4(ENDS, PROTOCOL.udp, dnsPacket(4000, 53, question)))) ?? { packet: new Uint8Array(60) };
    expect([...packet.subarray(14 + 26, 14 + 28)]).toEqual([0, 0]);
    expect(packet[14 + 28 + 2]).toBe(QR | 1);
  });

  it('is only dropped where it is no question: an answer, which could go round for ever, TCP, another port, a fragment, half a header', () => {
    const answer = Uint8Array.from(question);
    answer[2] = QR | 1;
    const datagram = dnsPacket(4000, 53, question);
    const others = [
      asked(4, answer), asked(6, answer), asked(4, question, 5353), asked(4, question.subarray(0, 14)),
      ipv4(ENDS, PROTOCOL.tcp, tcp(4000, 53, TCP.syn)), ipv4(ENDS, PROTOCOL.udp, datagram, { moreFragments: true }),
      ipv6(ENDS6, PROTOCOL.udp, datagram, [fragmentHeader(0, true)]),
    ];
    expect(others.map((packet) => lab.answerTo(frame(packet)))).toEqual(others.map(() => undefined));
  });

  it('whatever it holds, is dropped or comes back as long as it was and as an answer, which is never answered again', () => {
    const bytes = fc.uint8Array({ minLength: 0, maxLength: 600 });
    fc.assert(
      fc.property(fc.constantFrom(4 as const, 6 as const), bytes, fc.boolean(), (family, message, header) => {
        const sent = frame(asked(family, header ? Uint8Array.from([...question.subarray(0, 12), ...message]) : message));
        const found = lab.answerTo(sent);
        if (found === undefined) return;
        expect([found.turned, found.packet.length]).toEqual([true, sent.length]);
        expect((found.packet[14 + (family === 4 ? 28 : 48) + 2] ?? 0) & QR).toBe(QR);
        // Sent again as it is: its port is that of the client, and QR is set.
        const again = Uint8Array.from(found.packet);
        again.set([0, 53], 14 + (family === 4 ? 22 : 42));
        expect(lab.answerTo(again)).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });
});
