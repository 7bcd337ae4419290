import { CONNECTION, CONNECTION_KEY4, CONNECTION_KEY6 } from '@palisade/dataplane';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kernelUnavailable } from './testing/kernel-available.ts';
import { PacketLab } from './testing/packet-lab.ts';
import { PROTOCOL, TCP, frame, ipv4, ipv6, tcp, udp } from './testing/packet.ts';
import { entry } from './testing/resolved-fixture.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const PEER = 10;
const OWN = { 4: '10.1.0.1', 6: 'fd01::1' } as const;
const PEERS = { 4: '10.2.0.2', 6: 'fd02::2' } as const;
const ADDRESSES = [
  { cidr: '10.2.0.2/32', peerClass: PEER, identity: 1000 },
  { cidr: 'fd02::2/128', peerClass: PEER, identity: 1000 },
];
const RESTRICTED = [entry('ingress', 0, 0, 0, 'deny', 1), entry('egress', 0, 0, 0, 'deny', 3)];
const POLICIES = [
  [...RESTRICTED, entry('egress', PEER, PROTOCOL.tcp, 80, 'allow', 2), entry('egress', PEER, PROTOCOL.udp, 80, 'allow', 4)],
  [...RESTRICTED, entry('egress', PEER, PROTOCOL.tcp, 80, 'audit', 5), entry('egress', PEER, PROTOCOL.udp, 80, 'allow', 4)],
  [...RESTRICTED, entry('ingress', PEER, PROTOCOL.tcp, 0, 'allow', 6)],
];
const PAYLOADS = ['', '', 'x', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'];

const stepArbitrary = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('packet' as const),
      out: fc.boolean(),
      flags: fc.oneof({ weight: 4, arbitrary: fc.constantFrom(TCP.ack, TCP.ack, TCP.syn, TCP.syn | TCP.ack, TCP.fin | TCP.ack, TCP.rst) }, { weight: 1, arbitrary: fc.nat(63) }),
      payload: fc.constantFrom(...PAYLOADS),
      /** Added to lengths that headers claim, mostly nothing. */
      wrongTotal: fc.constantFrom(0, 0, 0, 0, 0, -1, 1, -21, 4000),
      wrongInner: fc.constantFrom(0, 0, 0, 0, 0, -1, 1, -3, 9),
      options: fc.constantFrom(0, 0, 0, 0, 4),
      fragment: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 2),
      trailer: fc.constantFrom(0, 0, 0, 6),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('age' as const), ms: fc.constantFrom(11_000, 61_000, 121_000, 301_000, 22_000_000) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('policy' as const), index: fc.nat(POLICIES.length - 1) }) },
);
type Step = typeof stepArbitrary extends fc.Arbitrary<infer T> ? T : never;
type Sent = Extract<Step, { readonly kind: 'packet' }>;

function packetOf(step: Sent, family: 4 | 6, protocol: number, port: number, fragmentId: number): Uint8Array {
  const [source, destination] = step.out ? [port, 80] : [80, port];
  const content = Buffer.from(step.payload);
  const header = protocol === PROTOCOL.tcp
    ? tcp(source, destination, step.flags, Math.max(0, Math.min(15, 5 + step.wrongInner)))
    : udp(source, destination, 0, 8 + content.length + step.wrongInner);
  const ends = step.out ? { from: OWN[family], to: PEERS[family] } : { from: PEERS[family], to: OWN[family] };
  const layer4 = Buffer.concat([header, content]);
  const packet = family === 4
    ? ipv4(ends, protocol, layer4, {
        options: step.options, id: fragmentId, totalLength: Math.max(0, 20 + step.options + layer4.length + step.wrongTotal),
        moreFragments: step.fragment === 1, fragmentOffset: step.fragment === 2 ? 1480 : 0,
      })
    : ipv6(ends, protocol, layer4, [], Math.max(0, layer4.length + step.wrongTotal));
  return Buffer.concat([packet, Buffer.alloc(step.trailer)]);
}

describe.skipIf(unavailable)('packets that are decided without a scene', () => {
  let lab: PacketLab;
  let port = 1024;
  let fragmentId = 0;
  beforeAll(() => {
    lab = new PacketLab();
  });
  afterAll(() => lab.remove());

  /** The connection over the port as the table has it; a tag's four bytes in each packet are not the connection's. */
  function row(family: 4 | 6, own: number, tagBytes: number): unknown {
    const map = lab.map(family === 4 ? 'connections4' : 'connections6');
    const content = lab.kernel.readAll(map);
    lab.kernel.close(map);
    const layout = family === 4 ? CONNECTION_KEY4 : CONNECTION_KEY6;
    for (let at = 0; at < content.count; at += 1) {
      const key = layout.decode(content.keys, at * layout.size);
      if (![key.low_port_be, key.high_port_be].includes(((own & 0xff) << 8) | (own >> 8))) continue;
      const { packets, bytes, state, tcp_flags, http, timed, verdict, rule_id, flags } = CONNECTION.decode(content.values, at * CONNECTION.size);
      return { packets, bytes: bytes.map((count, direction) => count - BigInt(tagBytes) * (packets[direction] ?? 0n)), state, tcp_flags, http, timed, verdict, rule_id, flags: flags & ~1 };
    }
    return undefined;
  }

  /** A VLAN tag is past what the fast path takes, and means nothing to policy: the same packets with one are judged in full. */
  it('meet the verdict, the state and the counters that judging them in full gives', async () => {
    const quick = { passed: 0, all: 0 };
    const property = fc.asyncProperty(fc.constantFrom(4 as const, 6 as const), fc.constantFrom(PROTOCOL.tcp, PROTOCOL.udp), fc.array(stepArbitrary, { minLength: 5, maxLength: 40 }), async (family, protocol, steps) => {
      await lab.apply(POLICIES[0] ?? [], ADDRESSES);
      lab.forget();
      const [plain, tagged] = [(port += 2), port + 1];
      if (port > 60_000) port = 1024;
      const openings: Step = { kind: 'packet', out: true, flags: TCP.syn, payload: '', wrongTotal: 0, wrongInner: 0, options: 0, fragment: 0, trailer: 0 };
      for (const step of [openings, ...steps]) {
        if (step.kind === 'age') lab.age(step.ms);
        else if (step.kind === 'policy') await lab.apply(POLICIES[step.index] ?? [], ADDRESSES);
        else {
          fragmentId = (fragmentId + 2) % 60_000;
          const pass = (packet: Uint8Array): boolean => (step.out ? lab.sends(packet) : lab.receives(packet));
          const one = pass(frame(packetOf(step, family, protocol, plain, fragmentId)));
          const other = pass(frame(packetOf(step, family, protocol, tagged, fragmentId + 1), family === 4 ? 0x0800 : 0x86dd, [0x8100]));
          expect({ step, passes: one }).toEqual({ step, passes: other });
          quick.all += 1;
          quick.passed += Number(one);
        }
        const events = await lab.events();
        const told = (own: number): unknown[] =>
          events.filter(({ sourcePort, destinationPort }) => sourcePort === own || destinationPort === own).map(({ event, verdict, dropReason, ruleId }) => ({ event, verdict, dropReason, ruleId }));
        expect({ step, told: told(plain), row: row(family, plain, 0) }).toEqual({ step, told: told(tagged), row: row(family, tagged, 4) });
      }
    });
    await fc.assert(property, { numRuns: 150, endOnFailure: true });
    expect(quick.passed).toBeGreaterThan(quick.all / 10);
    expect(quick.passed).toBeLessThan(quick.all);
  }, 120_000);
});
