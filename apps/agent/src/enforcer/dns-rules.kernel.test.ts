import { DROP_REASON } from '@palisade/flow';
import { canonicalName, compileFqdnSelector, type FqdnSelector, type L7RuleSet, type ResolvedNode } from '@palisade/policy';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { dnsMessage, dnsPacket, type DnsMessage } from './testing/dns-message.ts';
import { kernelUnavailable } from './testing/kernel-available.ts';
import { PacketLab } from './testing/packet-lab.ts';
import { PROTOCOL, TCP, frame, ipv4, ipv6, tcp } from './testing/packet.ts';
import { entry, resolvedNode } from './testing/resolved-fixture.ts';

const unavailable = kernelUnavailable();
if (unavailable) console.warn(unavailable);

const OWN = '10.1.0.1';
const RESOLVER = '10.2.0.53';
const DNS = 10;
const name = (value: string): FqdnSelector => ({ kind: 'name', value });
const pattern = (value: string): FqdnSelector => ({ kind: 'pattern', value });

function node(l7Rules: readonly L7RuleSet[], revision: number, more: Partial<ResolvedNode> = {}): ResolvedNode {
  const entries = [
    entry('egress', 0, 0, 0, 'deny', 1),
    entry('ingress', 0, 0, 0, 'deny', 3),
    ...[PROTOCOL.udp, PROTOCOL.tcp].map((protocol) => ({ ...entry('egress', DNS, protocol, 53, 'l7', 2), l7: 0 })),
    entry('egress', DNS, PROTOCOL.udp, 9, 'allow', 4),
  ];
  return { ...resolvedNode({ 'pod/lab/subject': entries }, [{ cidr: `${RESOLVER}/32`, peerClass: DNS, identity: 900 }, { cidr: 'fd02::53/128', peerClass: DNS, identity: 900 }], revision), l7Rules, ...more };
}

describe.skipIf(unavailable)('rules on DNS in the kernel', () => {
  let lab: PacketLab;
  let next = 3000;
  let revision = 0;
  const apply = (selectors: readonly FqdnSelector[], more: Partial<ResolvedNode> = {}): Promise<void> =>
    lab.applyNode(node([{ mode: 'hard', dns: selectors }], (revision += 1), more), { dnsResolvers: [{ network: 'default', address: RESOLVER }] });
  beforeAll(() => {
    lab = new PacketLab();
  });
  beforeEach(() => {
    next = 3000;
  });
  afterAll(() => lab.remove());

  const sendsUdp = (port: number, payload: Uint8Array): boolean => lab.sends(frame(ipv4({ from: OWN, to: RESOLVER }, PROTOCOL.udp, dnsPacket(port, 53, payload))));
  const asks = (asked: string, port = (next += 1)): boolean => sendsUdp(port, dnsMessage({ id: port, name: asked }));
  const answered = (port: number, message: Omit<DnsMessage, 'id'>): boolean =>
    lab.receives(frame(ipv4({ from: RESOLVER, to: OWN }, PROTOCOL.udp, dnsPacket(53, port, dnsMessage({ id: port, ...message })))));

  it('lets everything to the resolver pass where any name may be asked for, over TCP too', async () => {
    await apply([name('api.example.com'), pattern('*')]);
    lab.forget();
    expect([asks('any.name.test'), asks('a'), sendsUdp(next, Uint8Array.of(1, 2, 3, 4))]).toEqual([true, true, true]);
    expect(lab.sends(frame(ipv4({ from: OWN, to: RESOLVER }, PROTOCOL.tcp, tcp(4000, 53, TCP.syn))))).toBe(true);
    expect((await lab.events()).every(({ verdict }) => verdict === 'forwarded')).toBe(true);
  });

  it('lets questions pass whose name a rule admits, and their answers, and drops the others by themselves', async () => {
    await apply([name('api.example.com'), pattern('*.example.org'), pattern('**.deep.test')]);
    lab.forget();
    expect(['api.example.com', 'API.Example.COM', 'www.example.org', 'a.b.deep.test'].map((one) => asks(one))).toEqual([true, true, true, true]);
    expect(['example.com', 'b.api.example.com', 'a.b.example.org', 'example.org', 'deep.test', 'evil.test'].map((one) => asks(one))).toEqual([false, false, false, false, false, false]);
    // One socket asks for both: the refused question takes nothing from the admitted one.
    expect([asks('api.example.com', 5000), asks('evil.test', 5000), asks('www.example.org', 5000)]).toEqual([true, false, true]);
    expect(answered(5000, { name: 'api.example.com', answers: [{ type: 'A', address: '192.0.2.1' }] })).toBe(true);
    expect(answered(5001, { name: 'api.example.com', answers: [] })).toBe(false);
    const events = await lab.events();
    expect(events).toContainEqual(expect.objectContaining({ event: 'dropped', sourcePort: 5000, dropReason: DROP_REASON['l7-denied'], ruleId: 2 }));
    expect(events).toContainEqual(expect.objectContaining({ event: 'new', sourcePort: 5000, verdict: 'forwarded', ruleId: 2 }));
  });

  it('admits questions over IPv6', async () => {
    await apply([name('api.example.com')]);
    const ask = (asked: string, port: number): boolean => lab.sends(frame(ipv6({ from: 'fd01::1', to: 'fd02::53' }, PROTOCOL.udp, dnsPacket(port, 53, dnsMessage({ id: 1, name: asked })))));
    expect([ask('api.example.com', 6001), ask('evil.test', 6002)]).toEqual([true, false]);
  });

  it('refuses what is no plain question under rules on names: TCP, answers, updates, several or no questions, odd names, fragments', async () => {
    await apply([name('api.example.com')]);
    lab.forget();
    const plain = dnsMessage({ id: 7, name: 'api.example.com' });
    const changed = (at: number, value: number): Uint8Array => Uint8Array.from(plain, (byte, index) => (index === at ? value : byte));
    expect(sendsUdp((next += 1), plain)).toBe(true);
    expect(lab.sends(frame(ipv4({ from: OWN, to: RESOLVER }, PROTOCOL.tcp, tcp(4001, 53, TCP.syn))))).toBe(false);
    for (const odd of [changed(2, 0x81), changed(2, 0x29), changed(5, 2), changed(5, 0), changed(7, 1), changed(9, 1), changed(12, 0xc0), changed(12, 64), plain.subarray(0, 20), Uint8Array.of(1, 2)]) {
      expect(sendsUdp((next += 1), odd)).toBe(false);
    }
    // The same text, cut into other labels, is another name.
    const joined = changed(16, 0x2e);
    joined[12] = 11;
    expect(sendsUdp((next += 1), joined)).toBe(false);
    expect(sendsUdp((next += 1), Uint8Array.from([...plain, ...new Uint8Array(512)]))).toBe(false);
    const whole = ipv4({ from: OWN, to: RESOLVER }, PROTOCOL.udp, dnsPacket((next += 1), 53, plain), { moreFragments: true });
    expect(lab.sends(frame(whole))).toBe(false);
    expect(await lab.events()).toContainEqual(expect.objectContaining({ event: 'dropped', protocol: PROTOCOL.tcp, dropReason: DROP_REASON['l7-denied'] }));
  });

  it('keeps patterns denied that the kernel cannot match, and the others of the rule working', async () => {
    await apply([pattern('api.*.example.com'), pattern('a*.example.com'), name('api.example.com')]);
    expect([asks('api.eu.example.com'), asks('ab.example.com'), asks('api.example.com')]).toEqual([false, false, true]);
    await apply([pattern('api.*.example.com')]);
    expect([asks('api.eu.example.com'), asks('api.example.com')]).toEqual([false, false]);
  });

  it('judges questions of a living socket by the policy in force', async () => {
    await apply([name('old.test')]);
    expect([asks('old.test', 7000), asks('new.test', 7000)]).toEqual([true, false]);
    await apply([name('new.test')]);
    expect([asks('old.test', 7000), asks('new.test', 7000)]).toEqual([false, true]);
    await apply([pattern('**')]);
    expect(asks('old.test', 7000)).toBe(true);
  });

  it('gives a selector that takes the bit of another none of its rights', async () => {
    await apply([name('first.test')]);
    for (const round of [0, 1]) await apply(Array.from({ length: 64 }, (_, index) => name(`n${round}-${index}.test`)));
    expect([asks('n1-63.test'), asks('n0-63.test'), asks('first.test')]).toEqual([true, false, false]);
    await apply([name('first.test')]);
    expect([asks('first.test'), asks('n1-0.test'), asks('n1-63.test')]).toEqual([true, false, false]);
  });

  it('admits the same name twice: as a name and as a pattern', async () => {
    const fqdn = { selectors: [name('both.test')], classes: [{ baseClass: 1, selectors: [0], peerClass: 50 }] };
    await apply([pattern('both.test')], { fqdn });
    expect(asks('both.test', 8000)).toBe(true);
    await apply([name('both.test'), pattern('other.test')], { fqdn });
    expect([asks('both.test'), asks('other.test'), asks('third.test')]).toEqual([true, true, false]);
  });

  it('agrees with the evaluator about names', async () => {
    const label = fc.constantFrom('a', 'b', 'api', 'x-1', '_srv', 'Com', 'a+b', 'test');
    const selector = fc.oneof(
      fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => name(labels.join('.'))),
      fc.tuple(fc.constantFrom('', '*.', '**.'), fc.array(label, { minLength: 1, maxLength: 3 })).map(([stars, labels]) => pattern(`${stars}${labels.join('.')}`)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(selector, { minLength: 1, maxLength: 6 }), fc.array(fc.array(label, { minLength: 1, maxLength: 5 }), { minLength: 10, maxLength: 20 }), async (selectors, names) => {
        await apply(selectors);
        const tests = selectors.map(compileFqdnSelector);
        for (const labels of names) {
          const asked = labels.join('.');
          expect([asked, asks(asked)]).toEqual([asked, tests.some((test) => test(canonicalName(asked)))]);
        }
      }),
      { numRuns: 30 },
    );
  });
});
