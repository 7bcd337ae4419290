import { randomUUID } from 'node:crypto';
import { latencyBucket, type FlowCount } from '@palisade/flow';
import type { SentFlowBatch } from '@palisade/control';
import { parseTenantId, systemContext, WHOLE_TENANT, type Scope, type TenantContext } from '@palisade/tenancy';
import { beforeEach, describe, expect, it } from 'vitest';
import type { FlowStoreUnderTest } from './flow-store-conformance.ts';
import { BACKEND, DATABASE, FRONTEND, sampleFlow, sent, WORLD } from './sample-flows.ts';

const SECOND_US = 1_000_000;
const startUs = Math.floor(Date.now() / 1000 - 60) * SECOND_US;

function answer(query: string, over: { rcode?: number; latencyUs?: number; addresses?: string[]; at?: number; weight?: number; source?: typeof FRONTEND } = {}) {
  return sampleFlow(startUs + (over.at ?? 0) * SECOND_US, {
    event: 'dns', protocol: 17, destination: { ...WORLD, port: 53 }, source: over.source ?? FRONTEND, weight: over.weight ?? 1,
    dns: { query, addresses: over.addresses ?? [], rcode: over.rcode ?? 0, ...(over.latencyUs === undefined ? {} : { latencyUs: over.latencyUs }) },
  });
}

/** What of a count is about one kind of thing, with how often. */
function tally(counts: readonly FlowCount[], text: (count: FlowCount) => string | undefined): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const count of counts) {
    const key = text(count);
    if (key !== undefined) sums[key] = (sums[key] ?? 0) + count.flows;
  }
  return sums;
}

/** What every store must count alike; a part of the conformance suite. */
export function describeFlowStatistics(name: string, open: () => Promise<FlowStoreUnderTest>): void {
  describe(`${name} as a counter of flows`, () => {
    let store: FlowStoreUnderTest;
    let context: TenantContext;
    let sender: SentFlowBatch['sender'];

    beforeEach(async () => {
      store = await open();
      const tenantId = parseTenantId(randomUUID());
      context = systemContext(tenantId, 'test');
      sender = { tenantId, clusterId: randomUUID(), nodeId: randomUUID() };
    });

    const scoped = (scope: Partial<Scope>): TenantContext => ({ ...context, actor: { ...context.actor, scope: { ...WHOLE_TENANT, ...scope } } });
    const window = { sinceUs: startUs - 3600 * SECOND_US, untilUs: startUs + 3600 * SECOND_US, limit: 100 };
    const allCounts = async (who = context): Promise<FlowCount[]> => {
      const counts: FlowCount[] = [];
      let position = await store.statistics.positionAt(who, startUs - 3600 * SECOND_US);
      for (;;) {
        const step = await store.statistics.counts(who, {}, position, 100_000);
        counts.push(...step.counts);
        position = step.position;
        if (!step.more) return counts;
      }
    };

    async function storeNames(): Promise<void> {
      await store.sink.append([
        sent(sender, randomUUID(), 1, [
          answer('api.example.com', { latencyUs: 900, addresses: ['192.0.2.2', '192.0.2.1'] }),
          answer('api.example.com', { latencyUs: 5000, addresses: ['2001:db8::1'], at: 1, weight: 2 }),
          answer('api.example.com', { rcode: 3, at: 2, source: BACKEND }),
          answer('db.data.svc', { source: DATABASE, addresses: ['10.0.0.1'] }),
          sampleFlow(startUs),
        ]),
      ]);
    }

    it('sums up DNS by name: how often, with what outcome, by whom, how fast', async () => {
      await storeNames();
      const { names, beyond } = await store.statistics.dnsNames(context, window);
      expect(names.map(({ query }) => query)).toEqual(['api.example.com', 'db.data.svc']);
      expect(names[0]).toMatchObject({ lookups: 4, byRcode: { 0: 3, 3: 1 }, clients: 2, addresses: ['192.0.2.1', '192.0.2.2', '2001:db8::1'], lastSeenUs: startUs + 2 * SECOND_US });
      expect(names[0]?.latency[latencyBucket(900)]).toBe(1);
      expect(names[0]?.latency[latencyBucket(5000)]).toBe(2);
      expect(names[0]?.latency.reduce((sum, count) => sum + count, 0)).toBe(3);
      expect(names[1]).toMatchObject({ lookups: 1, latency: [] });
      expect(beyond).toEqual({ names: 0, lookups: 0 });
    });

    it('says what lies beyond the names it tells apart', async () => {
      await storeNames();
      expect(await store.statistics.dnsNames(context, { ...window, limit: 1 })).toMatchObject({ names: [{ query: 'api.example.com' }], beyond: { names: 1, lookups: 1 } });
    });

    it('puts every latency into the bucket that the engine puts it into', async () => {
      const latencies = [1, 63, 64, 65, 76, 77, 127, 128, 1000, 65_536, 10_000_000, 2_000_000_000];
      await store.sink.append([sent(sender, randomUUID(), 1, latencies.map((latencyUs) => answer('x.example', { latencyUs })))]);
      const expected: number[] = [];
      for (const bucket of latencies.map(latencyBucket)) expected[bucket] = (expected[bucket] ?? 0) + 1;
      const { names } = await store.statistics.dnsNames(context, window);
      expect(names[0]?.latency).toEqual(Array.from({ length: expected.length }, (_, bucket) => expected[bucket] ?? 0));
    });

    it('keeps names to the window, the cluster, the tenant and the namespaces of the actor', async () => {
      await storeNames();
      const namesOf = async (who: TenantContext, over: object = {}): Promise<string[]> => (await store.statistics.dnsNames(who, { ...window, ...over })).names.map(({ query }) => query);
      expect(await namesOf(scoped({ namespaces: ['data'] }))).toEqual(['db.data.svc']);
      expect(await namesOf(scoped({ namespaces: [] }))).toEqual([]);
      expect(await namesOf(scoped({ clusters: [] }))).toEqual([]);
      expect(await namesOf(scoped({ clusters: [] }), { clusterId: sender.clusterId })).toEqual([]);
      expect(await namesOf(context, { clusterId: randomUUID() })).toEqual([]);
      expect(await namesOf(context, { sinceUs: startUs + 3 * SECOND_US })).toEqual([]);
      expect(await namesOf(systemContext(parseTenantId(randomUUID()), 'test'))).toEqual([]);
    });

    async function storeMarks(): Promise<void> {
      const icmp = { protocol: 1, source: { ...FRONTEND, port: 0 }, destination: { ...BACKEND, port: 8 } } as const;
      await store.sink.append([
        sent(sender, randomUUID(), 1, [
          sampleFlow(startUs, { event: 'new', tcpFlags: 0x02 }),
          // Deltas repeat the flags of the connection: they do not count.
          sampleFlow(startUs, { event: 'delta', tcpFlags: 0x12 }),
          sampleFlow(startUs, { event: 'closed', tcpFlags: 0x1b, weight: 3 }),
          sampleFlow(startUs, { event: 'new', ...icmp }),
          sampleFlow(startUs, { event: 'delta', ...icmp }),
          sampleFlow(startUs, { event: 'l7', tcpFlags: 0x18, http: { method: 'GET', path: '/a', status: 200, latencyUs: 5 } }),
          sampleFlow(startUs, { event: 'l7', http: { method: 'GET', path: '/b', status: 200 } }),
          sampleFlow(startUs, { event: 'l7', http: { method: 'POST', path: '/b' }, destination: DATABASE }),
          answer('api.example.com', { addresses: ['192.0.2.1', '2001:db8::1', '2001:db8::2'] }),
          answer('none.example.com', { rcode: 3 }),
        ]),
      ]);
    }

    it('counts TCP flags, ICMP types, HTTP requests and DNS answers, each flow once', async () => {
      await storeMarks();
      const counts = await allCounts();
      expect(tally(counts, ({ event, tcpFlags }) => (tcpFlags === 0 ? undefined : `${event} ${tcpFlags}`))).toEqual({ 'new 2': 1, 'closed 19': 3 });
      expect(tally(counts, ({ icmpType }) => (icmpType === undefined ? undefined : String(icmpType)))).toEqual({ 8: 1 });
      expect(tally(counts, ({ http, destination }) => (http === undefined ? undefined : `${http.method} ${http.status ?? '-'} ${destination.namespace}/${destination.workload}`))).toEqual({
        'GET 200 shop/backend-b': 2, 'POST - data/db-b': 1,
      });
      expect(tally(counts, ({ dns, source }) => (dns === undefined ? undefined : `${dns.rcode} ${dns.ipv4Answers}+${dns.ipv6Answers} ${source.workload}`))).toEqual({ '0 1+2 frontend-a': 1, '3 0+0 frontend-a': 1 });
    });

    it('counts HTTP requests by latency, each in the bound that it does not exceed, and sums the latencies up', async () => {
      const request = (latencyUs?: number, weight = 1) => sampleFlow(startUs, { event: 'l7', weight, http: { method: 'GET', path: '/a', status: 200, ...(latencyUs === undefined ? {} : { latencyUs }) } });
      const latencies = [1, 5_000, 5_001, 10_000, 10_000_000, 10_000_001];
      await store.sink.append([sent(sender, randomUUID(), 1, [...latencies.map((us) => request(us)), request(250_000, 4), request(), answer('api.example.com', { latencyUs: 900 })])]);
      const counts = await allCounts();
      expect(tally(counts, ({ http }) => (http === undefined ? undefined : String(http.latency ?? '-')))).toEqual({ 0: 2, 1: 2, 5: 4, 10: 1, 11: 1, '-': 1 });
      expect(counts.reduce((sum, { latencyUs }) => sum + latencyUs, 0)).toBe(latencies.reduce((sum, us) => sum + us, 0) + 1_000_000);
    });

    it('goes on where it stopped: later commits only, and none twice', async () => {
      let position = await store.statistics.positionAt(context, startUs - 3600 * SECOND_US);
      const seen: number[] = [];
      for (let round = 0; round < 3; round++) {
        await storeMarks();
        let more = true;
        while (more) {
          const step = await store.statistics.counts(context, {}, position, 1);
          seen.push(step.counts.reduce((sum, { flows }) => sum + flows, 0));
          ({ position, more } = step);
        }
      }
      expect(seen.filter((count) => count > 0)).toEqual([10, 10, 10]);
      expect(await store.statistics.counts(context, {}, position, 1000)).toEqual({ counts: [], position, more: false });
    });

    it('has everything stored since an instant behind the position of that instant', async () => {
      await storeMarks();
      const nowUs = Date.now() * 1000;
      const later = await store.statistics.positionAt(context, nowUs + 3600 * SECOND_US);
      expect((await store.statistics.counts(context, {}, later, 1000)).counts).toEqual([]);
      await storeMarks();
      expect((await store.statistics.counts(context, {}, later, 1000)).counts.length).toBeGreaterThan(0);
    });

    it('counts only within the tenant, the clusters and the namespaces of the actor', async () => {
      await storeMarks();
      expect(tally(await allCounts(scoped({ namespaces: ['data'] })), ({ http }) => http?.method)).toEqual({ POST: 1 });
      expect(await allCounts(scoped({ namespaces: [] }))).toEqual([]);
      expect(await allCounts(scoped({ clusters: [randomUUID()] }))).toEqual([]);
      expect(await allCounts(systemContext(parseTenantId(randomUUID()), 'test'))).toEqual([]);
    });
  });
}
