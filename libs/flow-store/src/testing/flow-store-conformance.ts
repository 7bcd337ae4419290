import { randomUUID } from 'node:crypto';
import { dropCauses, latencyBucket, matchesFlow, parseLabelSelector, parsePrefix, EVERY_FLOW, serviceMap, type FlowFilter, type FlowRecord, type FlowSelection } from '@palisade/flow';
import type { FlowEdgeReader, FlowKeeping, FlowQuery, FlowReader, FlowSink, FlowSources, FlowStatistics, SentFlowBatch, StoredFlow } from '@palisade/control';
import { parseTenantId, systemContext, WHOLE_TENANT, type Scope, type TenantContext } from '@palisade/tenancy';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { describeFlowStatistics } from './flow-statistics-conformance.ts';
import { BACKEND, droppedFlow, mixedFlows, sampleFlow, sent } from './sample-flows.ts';

export interface FlowStoreUnderTest {
  readonly sink: FlowSink;
  readonly reader: FlowReader;
  readonly edges: FlowEdgeReader;
  readonly keeping: FlowKeeping;
  readonly sources: FlowSources;
  readonly statistics: FlowStatistics;
}

const SECOND_US = 1_000_000;
/** A minute ago, whole seconds: inside today's or yesterday's partition. */
const startUs = Math.floor(Date.now() / 1000 - 60) * SECOND_US;

const FILTERS: Readonly<Record<string, FlowFilter>> = {
  'a verdict': { verdicts: ['dropped'] },
  'several verdicts': { verdicts: ['dropped', 'audit'] },
  'a direction': { directions: ['ingress'] },
  'an event': { events: ['l7', 'dns'] },
  'a drop reason': { dropReasons: ['policy-denied'] },
  'a protocol': { protocols: [17] },
  replies: { reply: true },
  'no replies': { reply: false },
  'an observing node': { observers: ['node-b'] },
  'a source namespace': { source: { namespaces: ['shop'] } },
  'a namespace pattern at either end': { either: { namespaces: ['da*'] } },
  'a workload with a LIKE wildcard in its name': { source: { workloads: ['frontend_b'] } },
  'a workload pattern': { either: { workloads: ['*-b'] } },
  'a pod prefix': { either: { pods: ['shop/front'] } },
  'pods of the default namespace': { either: { pods: ['frontend'] } },
  'a label': { destination: { labels: [parseLabelSelector('app=backend')] } },
  'a label with its source': { source: { labels: [parseLabelSelector('k8s:app=frontend,tier in (web,api)')] } },
  'an absent label': { destination: { labels: [parseLabelSelector('!app')] } },
  'a negated label': { destination: { labels: [parseLabelSelector('app!=backend')] } },
  'a reserved label': { destination: { labels: [parseLabelSelector('reserved:world')] } },
  'an identity': { either: { identities: [1003] } },
  'a CIDR': { source: { prefixes: [parsePrefix('10.77.1.16/28')] } },
  'an IPv6 prefix': { either: { prefixes: [parsePrefix('2001:db8::/32')] } },
  'an address': { destination: { prefixes: [parsePrefix('10.77.2.11')] } },
  'a port': { destination: { ports: [5432, 53] } },
  'workload and port at one end': { either: { workloads: ['frontend-a'], ports: [8080] } },
  'a DNS name': { destination: { dnsNames: ['*.example.com'] } },
  'a node of an end': { destination: { nodes: ['node-b'] } },
  'a policy': { policies: [{ name: 'frontend', namespace: 'shop' }] },
  'a rule of a policy': { policies: [{ name: 'frontend', rule: 0 }] },
  'a default deny': { policies: [{ name: 'frontend', rule: 'default-deny' }] },
  'a policy of another direction': { policies: [{ name: 'frontend', direction: 'ingress' }] },
  'a process': { processes: ['*/curl'] },
  'a differing shadow verdict': { shadowDiffers: true },
  'no differing shadow verdict': { shadowDiffers: false },
  'a shadow verdict': { shadowVerdicts: ['dropped'] },
  'TCP flags': { tcpFlags: [0x10, 0x03] },
  'TCP flags that nothing has': { tcpFlags: [0x03] },
  'what was read of layer 7': { layer7: ['http'] },
  'any layer 7': { layer7: ['http', 'dns'] },
  'an HTTP method': { httpMethods: ['GET'] },
  'an HTTP path': { httpPaths: ['/cart/*'] },
  'an HTTP status': { httpStatuses: ['503'] },
  'an HTTP status class': { httpStatuses: ['5+'] },
  'a DNS query': { dnsQueries: ['api.*'] },
  'several fields': { verdicts: ['forwarded'], source: { namespaces: ['shop'] }, destination: { ports: [8080] } },
};

const SELECTIONS: Readonly<Record<string, FlowSelection>> = {
  ...Object.fromEntries(Object.entries(FILTERS).map(([name, filter]) => [name, { allow: [filter], deny: [] }])),
  ...Object.fromEntries(Object.entries(FILTERS).map(([name, filter]) => [`everything but ${name}`, { allow: [], deny: [filter] }])),
  'one filter or another, without a third': { allow: [{ verdicts: ['dropped'] }, { protocols: [17] }], deny: [{ events: ['dns'] }] },
};

/** What a flow says, without what the store adds. */
function content({ id: _id, clusterId: _cluster, ...flow }: StoredFlow): FlowRecord {
  return flow;
}

/** Every implementation of the flow store must pass this. `open` gives an empty store; called before each test. */
export function describeFlowStore(name: string, open: () => Promise<FlowStoreUnderTest>): void {
  describeFlowStatistics(name, open);
  describe(`${name} as a flow store`, () => {
    let store: FlowStoreUnderTest;
    let context: TenantContext;
    let sender: SentFlowBatch['sender'];
    let bootId: string;

    beforeEach(async () => {
      store = await open();
      const tenantId = parseTenantId(randomUUID());
      context = systemContext(tenantId, 'test');
      sender = { tenantId, clusterId: randomUUID(), nodeId: randomUUID() };
      bootId = randomUUID();
    });

    const query = (over: Partial<FlowQuery> = {}): FlowQuery => ({
      selection: EVERY_FLOW, sinceUs: startUs - 3600 * SECOND_US, untilUs: startUs + 3600 * SECOND_US, order: 'oldest', limit: 1000, ...over,
    });
    /** All pages: a page may end before its limit. */
    const all = async (who: TenantContext, asked: FlowQuery): Promise<StoredFlow[]> => {
      const flows: StoredFlow[] = [];
      let after: FlowQuery['after'];
      do {
        const page = await store.reader.list(who, { ...asked, ...(after === undefined ? {} : { after }) });
        flows.push(...page.flows);
        after = page.next;
      } while (after !== undefined);
      return flows;
    };
    const scoped = (scope: Partial<Scope>): TenantContext => ({ ...context, actor: { ...context.actor, scope: { ...WHOLE_TENANT, ...scope } } });

    it('gives back what was stored, field by field', async () => {
      const flows = mixedFlows(startUs);
      expect(await store.sink.append([sent(sender, bootId, 1, flows)])).toEqual([{ kind: 'stored', rows: flows.length }]);
      const found = await all(context, query());
      expect(found.map(content)).toEqual(flows);
      expect(found.every((flow) => flow.clusterId === sender.clusterId)).toBe(true);
      expect(new Set(found.map((flow) => flow.id)).size).toBe(flows.length);
      expect((await store.reader.list(context, query())).coverage).toEqual({ complete: true, lost: 0, sampled: 0, losses: {} });
    });

    it('stores a replayed batch once', async () => {
      const batch = sent(sender, bootId, 1, mixedFlows(startUs));
      await store.sink.append([batch]);
      expect(await store.sink.append([batch])).toEqual([{ kind: 'duplicate' }]);
      expect((await all(context, query()))).toHaveLength(9);
    });

    it('stores a batch once that comes twice in one commit', async () => {
      const batch = sent(sender, bootId, 1, [sampleFlow(startUs)]);
      expect((await store.sink.append([batch, batch])).map(({ kind }) => kind)).toEqual(['stored', 'duplicate']);
      expect((await all(context, query()))).toHaveLength(1);
    });

    it('stores a batch once that comes through two commits at the same time', async () => {
      const batch = sent(sender, bootId, 1, mixedFlows(startUs));
      const outcomes = await Promise.all([store.sink.append([batch]), store.sink.append([batch]), store.sink.append([batch])]);
      expect(outcomes.flat().map(({ kind }) => kind).toSorted()).toEqual(['duplicate', 'duplicate', 'stored']);
      expect((await all(context, query()))).toHaveLength(9);
    });

    it('takes equal sequence numbers of different nodes, boots and tenants', async () => {
      const other = { ...sender, tenantId: parseTenantId(randomUUID()) };
      const flows = [sampleFlow(startUs)];
      const outcomes = await store.sink.append([
        sent(sender, bootId, 1, flows), sent({ ...sender, nodeId: randomUUID() }, bootId, 1, flows), sent(sender, randomUUID(), 1, flows), sent(other, bootId, 1, flows),
      ]);
      expect(outcomes.map(({ kind }) => kind)).toEqual(['stored', 'stored', 'stored', 'stored']);
      expect((await all(context, query()))).toHaveLength(3);
    });

    it('never shows a flow to another tenant', async () => {
      await store.sink.append([sent(sender, bootId, 1, mixedFlows(startUs))]);
      const stranger = systemContext(parseTenantId(randomUUID()), 'test');
      expect(await all(stranger, query({ clusterId: sender.clusterId }))).toEqual([]);
    });

    it('shows a team only flows with an end in its namespaces, and only of its clusters', async () => {
      await store.sink.append([sent(sender, bootId, 1, mixedFlows(startUs))]);
      const data = await all(scoped({ namespaces: ['data'] }), query());
      expect(data.length).toBeGreaterThan(0);
      expect(data.every((flow) => flow.source.namespace === 'data' || flow.destination.namespace === 'data')).toBe(true);
      expect((await all(scoped({ namespaces: [] }), query()))).toEqual([]);
      expect((await all(scoped({ clusters: [randomUUID()] }), query()))).toEqual([]);
      expect((await all(scoped({ clusters: [sender.clusterId] }), query()))).toHaveLength(9);
    });

    it('pages through flows with equal times without a gap or a repeat, in both orders', async () => {
      const flows = Array.from({ length: 50 }, (_, index) => sampleFlow(startUs + Math.floor(index / 10), { bytes: index }));
      await store.sink.append([sent(sender, bootId, 1, flows.slice(0, 25)), sent(sender, bootId, 2, flows.slice(25))]);
      for (const order of ['newest', 'oldest'] as const) {
        const seen: number[] = [];
        let after: FlowQuery['after'];
        do {
          const page = await store.reader.list(context, query({ order, limit: 7, ...(after === undefined ? {} : { after }) }));
          seen.push(...page.flows.map((flow) => flow.bytes));
          after = page.next;
        } while (after !== undefined);
        expect(seen.toSorted((a, b) => a - b)).toEqual(flows.map((flow) => flow.bytes));
        expect(seen).toHaveLength(50);
      }
    });

    it('finds seldom flows far back in a long window, over as many pages as it takes', async () => {
      const old = sampleFlow(startUs - 20 * 3600 * SECOND_US, { bytes: 4711 });
      await store.sink.append([sent(sender, bootId, 1, [old, sampleFlow(startUs)])]);
      const window = { sinceUs: startUs - 23 * 3600 * SECOND_US, untilUs: startUs - SECOND_US };
      for (const order of ['newest', 'oldest'] as const) expect(await all(context, query({ ...window, order, limit: 1 }))).toMatchObject([{ bytes: 4711 }]);
    });

    it('limits to the window: since is inside, until is not', async () => {
      await store.sink.append([sent(sender, bootId, 1, mixedFlows(startUs))]);
      const found = await all(context, query({ sinceUs: startUs + SECOND_US, untilUs: startUs + 3 * SECOND_US }));
      expect(found.map((flow) => flow.lastSeenUs)).toEqual([startUs + SECOND_US, startUs + 2 * SECOND_US]);
    });

    it.each(Object.entries(SELECTIONS))('selects %s exactly as the engine does', async (_, selection) => {
      const flows = mixedFlows(startUs);
      await store.sink.append([sent(sender, bootId, 1, flows)]);
      const expected = flows.filter((flow) => matchesFlow(selection, flow));
      expect((await all(context, query({ selection }))).map(content)).toEqual(expected);
      expect((await all(context, query({ selection, order: 'newest', limit: 2 }))).map(content)).toEqual(expected.toReversed());
    });

    it('says what was lost and sampled in the window that was asked about', async () => {
      const account = { seen: 20, exported: 9, sampled: 5, dropped: { 'ring-full': 4, evicted: 2 } };
      await store.sink.append([sent(sender, bootId, 1, mixedFlows(startUs), { account })]);
      const { coverage } = await store.reader.list(context, query());
      expect(coverage).toEqual({ complete: false, lost: 6, sampled: 5, losses: { 'ring-full': 4, evicted: 2 } });
      expect((await store.reader.coverage(context, query({ sinceUs: startUs + 3000 * SECOND_US }))).complete).toBe(true);
    });

    it('counts flows outside every kept day as lost', async () => {
      const old = sampleFlow(startUs - 300 * 86_400 * SECOND_US);
      expect(await store.sink.append([sent(sender, bootId, 1, [old, sampleFlow(startUs)])])).toEqual([{ kind: 'stored', rows: 1 }]);
      const coverage = await store.reader.coverage(context, query({ sinceUs: old.lastSeenUs - 1 }));
      expect(coverage.losses).toEqual({ 'outside-retention': 1 });
    });

    it('follows commits: every flow once, in order of ingest, from where it stopped', async () => {
      let position = await store.reader.now(context);
      const seen: number[] = [];
      for (let seq = 1; seq <= 5; seq++) {
        // Later batches carry earlier times: order of ingest is not order of time.
        await store.sink.append([sent(sender, bootId, seq, [sampleFlow(startUs - seq * SECOND_US, { bytes: seq }), droppedFlow(startUs, { bytes: seq })])]);
        const tail = await store.reader.tail(context, { selection: { allow: [{ verdicts: ['forwarded'] }], deny: [] } }, position, 1000);
        position = tail.position;
        seen.push(...tail.flows.map((flow) => flow.bytes));
      }
      expect(seen).toEqual([1, 2, 3, 4, 5]);
      expect((await store.reader.tail(context, { selection: EVERY_FLOW }, position, 1000)).flows).toEqual([]);
    });

    it.each([{ commit: 'elsewhere', batch: '1' }, { commit: '0', batch: 'x' }, { commit: '99999999999999999999', batch: '0' }])('refuses a position that it never gave: %o', async (position) => {
      await expect(store.reader.tail(context, { selection: EVERY_FLOW }, position, 10)).rejects.toMatchObject({ code: 'cursor.invalid' });
      await expect(store.statistics.counts(context, {}, position, 10)).rejects.toMatchObject({ code: 'cursor.invalid' });
    });

    it('follows in portions of whole batches', async () => {
      const position = await store.reader.now(context);
      await store.sink.append([1, 2, 3].map((seq) => sent(sender, bootId, seq, [sampleFlow(startUs, { bytes: seq }), sampleFlow(startUs, { bytes: seq })])));
      const first = await store.reader.tail(context, { selection: EVERY_FLOW }, position, 4);
      expect(first).toMatchObject({ more: true, flows: [{ bytes: 1 }, { bytes: 1 }, { bytes: 2 }, { bytes: 2 }] });
      const second = await store.reader.tail(context, { selection: EVERY_FLOW }, first.position, 4);
      expect(second).toMatchObject({ more: false, flows: [{ bytes: 3 }, { bytes: 3 }] });
    });

    it('keeps apart what only looks alike', async () => {
      const twin = { ...BACKEND, labels: ['k8s:app=backend', 'k8s:version=2'] };
      await store.sink.append([sent(sender, bootId, 1, [sampleFlow(startUs), sampleFlow(startUs + 1, { destination: twin })])]);
      const found = await all(context, query());
      expect(found.map((flow) => flow.destination.labels)).toEqual([BACKEND.labels, twin.labels]);
    });

    /** Long enough ago for every minute to be over. */
    const pastUs = startUs - 600 * SECOND_US;
    const edgeQuery = (hours: number) => ({ sinceUs: pastUs - hours * 3600 * SECOND_US, untilUs: startUs + 3600 * SECOND_US, limit: 1000 });

    async function storeTraffic(): Promise<void> {
      const minute = (index: number): number => pastUs + index * 60 * SECOND_US;
      await store.sink.append([
        sent(sender, bootId, 1, [sampleFlow(minute(0), { event: 'new', packets: 1, bytes: 60 }), sampleFlow(minute(0)), sampleFlow(minute(1), { event: 'closed', weight: 3 })]),
        sent(sender, bootId, 2, [droppedFlow(minute(1)), droppedFlow(minute(2)), sampleFlow(minute(2), { event: 'l7', http: { method: 'GET', path: '/', status: 500, latencyUs: 3000 } })]),
      ]);
      // The destination sees the same connection begin: it counts once.
      await store.sink.append([sent(sender, bootId, 3, [sampleFlow(minute(0), { event: 'new', direction: 'ingress', packets: 1, bytes: 60 })])]);
    }

    it.each([['minutes', 1], ['hours', 12]])('sums up who talks to whom, from %s, before and after merging', async (_, hours) => {
      await storeTraffic();
      for (let merges = 0; merges < 2; merges++) {
        const { edges, beyond } = await store.edges.edges(context, edgeQuery(hours));
        const [busiest, denied] = serviceMap(edges, 60);
        expect(busiest).toMatchObject({
          source: { workload: 'frontend-a' }, destination: { workload: 'backend-b' }, port: 8080, flows: 1, packets: 40, bytes: 6000, replyBytes: 36_000,
          http: { requests: 1, errorRate: 1 },
        });
        expect(busiest?.source).not.toHaveProperty('address');
        expect(denied).toMatchObject({ destination: { workload: 'db-b' }, flowsByVerdict: { dropped: 2 } });
        expect(dropCauses(edges)).toMatchObject([{ reason: 'policy-denied', policies: [{ name: 'frontend', direction: 'egress' }], flows: 2 }]);
        expect(edges.find(({ http }) => http !== undefined)?.http?.latency[latencyBucket(3000)]).toBe(1);
        expect(beyond).toEqual({ edges: 0, flows: 0, bytes: 0 });
        await store.keeping.compact(context);
      }
    });

    it('knows who reported, and about which namespaces', async () => {
      await storeTraffic();
      const sinceUs = pastUs - SECOND_US;
      expect(await store.sources.nodes(context, sinceUs)).toMatchObject([{ nodeId: sender.nodeId, name: 'node-a', storedFlows: 7, seenFlows: 7, countedSinceUs: pastUs }]);
      expect(await store.sources.namespaces(context, sinceUs)).toEqual([{ cluster: 'demo', namespace: 'data' }, { cluster: 'demo', namespace: 'shop' }]);
      expect(await store.sources.namespaces(scoped({ namespaces: ['data'] }), sinceUs)).toEqual([{ cluster: 'demo', namespace: 'data' }]);
      expect(await store.sources.nodes(scoped({ clusters: [] }), sinceUs)).toEqual([]);
      expect(await store.sources.nodes(context, pastUs + SECOND_US)).toMatchObject([{ countedSinceUs: pastUs + SECOND_US }]);
    });

    it('adds nothing to the sums for a replayed batch', async () => {
      const batch = sent(sender, bootId, 1, [sampleFlow(pastUs)]);
      await store.sink.append([batch]);
      await store.sink.append([batch]);
      expect((await store.edges.edges(context, edgeQuery(1))).edges).toMatchObject([{ bytes: 1500 }]);
    });

    it('says what lies beyond the edges it tells apart', async () => {
      await storeTraffic();
      const { edges, beyond } = await store.edges.edges(context, { ...edgeQuery(1), limit: 1 });
      expect(edges).toHaveLength(1);
      expect(beyond).toMatchObject({ edges: 1, flows: 2 });
    });

    it('forgets sums and batches that are past their time, of one tenant, and keeps the others', async () => {
      await storeTraffic();
      const rest = { minuteDays: 14, hourDays: 400, ledgerDays: 10 };
      const left = async () => [(await store.edges.edges(context, edgeQuery(1))).edges.length, (await store.edges.edges(context, edgeQuery(12))).edges.length, (await store.sources.nodes(context, pastUs - SECOND_US)).length];
      const stored = await left();
      expect(stored.every((count) => count > 0)).toBe(true);
      await store.keeping.forget(systemContext(parseTenantId(randomUUID()), 'test'), { ...rest, minuteDays: -1, hourDays: -1 });
      await store.keeping.forget(context, rest);
      expect(await left()).toEqual(stored);
      await store.keeping.forget(context, { ...rest, minuteDays: -1 });
      await vi.waitFor(async () => expect((await left())[0]).toBe(0), { timeout: 30_000, interval: 100 });
      await store.keeping.forget(context, { ...rest, hourDays: -1, minuteDays: -1 });
      await vi.waitFor(async () => expect((await left())[1]).toBe(0), { timeout: 30_000, interval: 100 });
      // The flows themselves go by days.
      expect(await all(context, query())).toHaveLength(7);
    });

    it('shows sums only within the tenant, the clusters and the namespaces of the actor', async () => {
      await storeTraffic();
      const edgesOf = async (who: TenantContext): Promise<number> => (await store.edges.edges(who, edgeQuery(1))).edges.length;
      expect(await edgesOf(systemContext(parseTenantId(randomUUID()), 'test'))).toBe(0);
      expect(await edgesOf(scoped({ clusters: [randomUUID()] }))).toBe(0);
      expect(await edgesOf(scoped({ namespaces: ['data'] }))).toBe(1);
      expect(await edgesOf(scoped({ namespaces: ['shop'] }))).toBe(2);
    });
  });
}
