import type { AddressClass, PolicyEntry } from '@palisade/policy';
import { LookupTables } from '@palisade/policy';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kernelUnavailable } from './testing/kernel-available.ts';
import { PacketLab } from './testing/packet-lab.ts';
import { PROTOCOL, frame, icmp, ipv4, ipv6, sctp, tcp, udp } from './testing/packet.ts';
import { resolvedNode } from './testing/resolved-fixture.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const SUBJECT = 'pod/lab/subject';
const POLICIES = Number(process.env['PALISADE_DIFFERENTIAL_POLICIES'] ?? 60);
const PACKETS = 100;
const OWN = { 4: '10.9.9.9', 6: 'fd09::9' } as const;

const classes = [1, 2, 3, 4, 5];
const prefixes4 = ['0.0.0.0/0', '10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '10.1.2.3/32', '10.1.2.4/32', '172.16.0.0/12'];
const prefixes6 = ['::/0', 'fd00::/8', 'fd01::/64', 'fd01::3/128', 'fd01::4/128'];
const peers4 = ['10.1.2.3', '10.1.2.4', '10.1.2.5', '10.1.3.1', '10.200.0.1', '172.20.0.1', '8.8.8.8'];
const peers6 = ['fd01::3', 'fd01::4', 'fd01::5', 'fd02::1', '2001:db8::1'];
const ports = [1, 53, 79, 80, 81, 443, 1023, 1024, 8080, 8191, 8192, 32768, 65535];

const entryArbitrary = fc
  .record({
    direction: fc.constantFrom('ingress' as const, 'egress' as const),
    peerClass: fc.constantFrom(0, ...classes),
    protocol: fc.constantFrom(0, PROTOCOL.tcp, PROTOCOL.udp, PROTOCOL.icmp, PROTOCOL.icmp6, PROTOCOL.sctp),
    port: fc.constantFrom(0, 8, 128, ...ports),
    portPrefixLength: fc.constantFrom(0, 1, 3, 10, 15, 16, 16),
    verdict: fc.constantFrom('allow' as const, 'allow' as const, 'deny' as const, 'audit' as const),
    ruleId: fc.integer({ min: 1, max: 100_000 }),
  })
  .map((one): PolicyEntry => {
    const portPrefixLength = one.protocol === 0 ? 0 : one.portPrefixLength;
    return { ...one, portPrefixLength, port: portPrefixLength === 0 ? 0 : one.port & (0xffff << (16 - portPrefixLength)) & 0xffff };
  });
const entriesArbitrary = fc.uniqueArray(entryArbitrary, {
  maxLength: 40,
  selector: (one) => `${one.direction}${one.peerClass}/${one.protocol}/${one.port}/${one.portPrefixLength}`,
});
const addressesArbitrary = fc
  .tuple(fc.subarray(prefixes4), fc.subarray(prefixes6), fc.array(fc.constantFrom(...classes), { minLength: 12, maxLength: 12 }))
  .map(([four, six, chosen]) =>
    [...four, ...six].map((cidr, index): AddressClass => ({ network: 'default', cidr, peerClass: chosen[index] ?? 1, identity: 1000 + (chosen[index] ?? 1) })),
  );

interface Probe {
  readonly direction: 'ingress' | 'egress';
  readonly family: 4 | 6;
  readonly peer: string;
  readonly protocol: number;
  readonly port: number;
}
const probeArbitrary: fc.Arbitrary<Probe> = fc
  .record({
    direction: fc.constantFrom('ingress' as const, 'egress' as const),
    family: fc.constantFrom(4 as const, 6 as const),
    peer: fc.nat(100),
    kind: fc.constantFrom('tcp', 'udp', 'sctp', 'icmp', 'other'),
    port: fc.oneof(fc.constantFrom(...ports), fc.integer({ min: 1, max: 65535 })),
  })
  .map(({ direction, family, peer, kind, port }) => {
    const peers = family === 4 ? peers4 : peers6;
    const chosen = peers[peer % peers.length] ?? '';
    if (kind === 'icmp') return { direction, family, peer: chosen, protocol: family === 4 ? PROTOCOL.icmp : PROTOCOL.icmp6, port: family === 4 ? 8 : 128 };
    if (kind === 'other') return { direction, family, peer: chosen, protocol: OTHER, port: 0 };
    return { direction, family, peer: chosen, protocol: PROTOCOL[kind as 'tcp' | 'udp' | 'sctp'], port };
  });

/** Protocols without ports are one connection per pair of hosts: each probe takes a number of its own. */
const OTHER = 255;
let unique = 1024;

function packet(probe: Probe): Uint8Array {
  unique = unique >= 60_000 ? 1024 : unique + 1;
  const payloads: Readonly<Record<number, () => Uint8Array>> = {
    [PROTOCOL.tcp]: () => tcp(unique, probe.port),
    [PROTOCOL.udp]: () => udp(unique, probe.port),
    [PROTOCOL.sctp]: () => sctp(unique, probe.port),
    [PROTOCOL.icmp]: () => icmp(probe.port, 0, unique),
    [PROTOCOL.icmp6]: () => icmp(probe.port, 0, unique),
  };
  const payload = payloads[probe.protocol]?.() ?? new Uint8Array(8);
  const own = OWN[probe.family];
  const ends = probe.direction === 'egress' ? { from: own, to: probe.peer } : { from: probe.peer, to: own };
  const protocol = probe.protocol === OTHER ? 140 + (unique % 110) : probe.protocol;
  return frame(probe.family === 4 ? ipv4(ends, protocol, payload) : ipv6(ends, protocol, payload));
}

describe.skipIf(unavailable)('the loaded program against the lookup rule of the policy room', () => {
  let lab: PacketLab;
  beforeAll(() => {
    lab = new PacketLab();
  });
  afterAll(() => lab.remove());

  it(`gives the same verdict and rule for ${POLICIES * PACKETS} generated (policy, packet) pairs`, async () => {
    let compared = 0;
    const property = fc.asyncProperty(entriesArbitrary, addressesArbitrary, fc.array(probeArbitrary, { minLength: PACKETS, maxLength: PACKETS }), async (entries, addresses, probes) => {
      const resolved = resolvedNode({ [SUBJECT]: entries }, addresses);
      await lab.applyNode(resolved);
      lab.forget();
      const tables = new LookupTables(resolved);
      for (const probe of probes) {
        const peerClass = tables.classOf('default', probe.peer)?.peerClass ?? 0;
        const expected = tables.lookup(SUBJECT, { direction: probe.direction, peerClass, protocol: probe.protocol, port: probe.port });
        const passes = probe.direction === 'egress' ? lab.sends(packet(probe)) : lab.receives(packet(probe));
        const events = await lab.events();
        const reported = events.findLast((event) => event.event === 'new' || event.event === 'dropped');
        expect({ probe, passes, rule: reported?.ruleId }).toEqual({ probe, passes: expected?.verdict !== 'deny', rule: expected?.ruleId ?? 0 });
        compared += 1;
      }
    });
    await fc.assert(property, { numRuns: POLICIES, endOnFailure: true });
    expect(compared).toBe(POLICIES * PACKETS);
  }, 120_000);
});
