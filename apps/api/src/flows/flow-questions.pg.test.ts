import { randomUUID } from 'node:crypto';
import { parquetReadObjects } from 'hyparquet';
import pg from 'pg';
import { columnsOf, type FlowEnd, type FlowRecord } from '@palisade/flow';
import { PostgresFlowSink } from '@palisade/flow-store';
import { WHOLE_TENANT } from '@palisade/tenancy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiUnderTest, type TestTenant } from '../testing/api-under-test.ts';

const FRONTEND: FlowEnd = { address: '10.1.0.1', port: 40_000, identity: 1001, labels: ['k8s:app=frontend'], namespace: 'shop', workload: 'frontend-a', cluster: 'demo' };
const BACKEND: FlowEnd = { address: '10.1.0.2', port: 8080, identity: 1002, labels: ['k8s:app=backend'], namespace: 'shop', workload: 'backend-a', cluster: 'demo' };
const DATABASE: FlowEnd = { address: '10.1.0.3', port: 5432, identity: 1003, labels: ['k8s:app=db'], namespace: 'data', workload: 'db-a', cluster: 'demo' };
const WORLD: FlowEnd = { address: '2001:db8::1', port: 443, identity: 2, labels: ['reserved:world'], dnsNames: ['api.example.com'] };
const nowUs = Math.floor(Date.now() / 1000) * 1_000_000;
const MINUTE_US = 60_000_000;

function flow(ago: number, over: Partial<FlowRecord> = {}): FlowRecord {
  const lastSeenUs = nowUs - ago * 1_000_000;
  return {
    event: 'new', source: FRONTEND, destination: BACKEND, protocol: 6, direction: 'egress', node: 'node-a', verdict: 'forwarded', policies: [], isReply: false, packets: 1, bytes: 100, replyPackets: 0,
    replyBytes: 0, firstSeenUs: lastSeenUs, lastSeenUs, tcpFlags: 2, generation: '1.1', policyRevision: 1, identityRevision: 1, origin: 'ebpf', weight: 1, ...over,
  };
}

const http = (status: number, latencyUs: number): Partial<FlowRecord> => ({ event: 'l7', http: { method: 'GET', path: '/cart', status, latencyUs } });
const dns = (query: string, over: Partial<FlowRecord> = {}): FlowRecord => flow(20, { event: 'dns', protocol: 17, destination: { ...WORLD, port: 53 }, dns: { query, addresses: ['192.0.2.1'], rcode: 0, latencyUs: 800 }, ...over });
const FLOWS = [
  flow(10), flow(11, { event: 'delta', bytes: 5000, tcpFlags: 0x18 }), flow(12, http(200, 1000)), flow(12, http(200, 1000)), flow(12, http(503, 90_000)),
  flow(13, { event: 'dropped', verdict: 'dropped', dropReason: 'policy-denied', destination: DATABASE, shadowVerdict: 'forwarded', process: { binary: '/usr/bin/curl', pid: 1, uid: 0 } }),
  flow(14, { source: DATABASE, destination: { ...DATABASE, workload: 'db-b' }, ...http(200, 10) }),
  dns('api.example.com'), dns('db.internal', { source: DATABASE, destination: { address: '10.1.0.53', port: 53, identity: 1004, labels: ['k8s:app=dns'], namespace: 'kube-system', workload: 'dns-a' } }),
];

let api: ApiUnderTest;
let ingest: pg.Pool;
let sink: PostgresFlowSink;
let tenant: TestTenant;
let clusterId: string;
let team: string;

async function store(flows: readonly FlowRecord[], lost = 0): Promise<void> {
  const account = { seen: flows.length + lost, exported: flows.length, sampled: 0, dropped: lost === 0 ? {} : { evicted: lost } };
  const times = flows.map(({ lastSeenUs }) => lastSeenUs);
  await sink.append([{ sender: { tenantId: tenant.tenantId, clusterId, nodeId: randomUUID() }, batch: { bootId: randomUUID(), seq: 1, windowStartUs: Math.min(...times), windowEndUs: Math.max(...times), account, columns: columnsOf(flows) } }]);
}

const ask = (path: string, authorization = tenant.authorization) => api.request.get(`/v1/clusters/${clusterId}/flows${path}`).set('authorization', authorization);
const text = async (path: string, authorization?: string): Promise<string> => {
  const response = await ask(path, authorization).buffer(true).parse((raw, done) => {
    let all = '';
    raw.on('data', (chunk: Buffer) => (all += chunk.toString()));
    raw.on('end', () => done(null, all));
  }).expect(200);
  return response.body as string;
};
const lines = async (path: string, authorization?: string) => (await text(path, authorization)).trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);

beforeAll(async () => {
  api = await startApi();
  ingest = new pg.Pool({ connectionString: api.database.ingestUrl, max: 2 });
  sink = new PostgresFlowSink(ingest);
  tenant = await api.tenant('acme');
  clusterId = ((await api.request.post('/v1/clusters').set('authorization', tenant.authorization).send({ name: 'c' }).expect(201)).body as { id: string }).id;
  team = await api.token(tenant.tenantId, ['app-team', 'auditor'], { ...WHOLE_TENANT, namespaces: ['data'] });
  await store(FLOWS, 5);
});

afterAll(async () => {
  await ingest.end();
  await api.close();
});

describe('allow and deny lists', () => {
  const count = async (query: string): Promise<number> => ((await ask(`?since=5m&limit=1000&${query}`).expect(200)).body.items as unknown[]).length;
  const filter = (name: string, parameters: string): string => `${name}=${encodeURIComponent(parameters)}`;

  it('let alternatives in and leave what is denied out', async () => {
    expect(await count(filter('allow', 'verdict=dropped'))).toBe(1);
    expect(await count(`${filter('allow', 'verdict=dropped')}&${filter('allow', 'layer7=dns')}`)).toBe(3);
    expect(await count(`verdict=dropped&${filter('allow', 'layer7=http')}`)).toBe(5);
    expect(await count(filter('deny', 'layer7=http,dns'))).toBe(3);
    expect(await count(`${filter('allow', 'sourceNamespace=data')}&${filter('deny', 'layer7=dns&sourceNamespace=data')}`)).toBe(1);
  });

  it.each([['allow', 'verdikt=dropped'], ['deny', 'port=x'], ['deny', ''], ['allow', 'allow=x']])('refuse a filter %s=%s that is none', async (name, parameters) => {
    expect((await ask(`?${filter(name, parameters)}`).expect(400)).body).toMatchObject({ code: 'request.invalid' });
  });

  it.each([
    ['shadowVerdict=forwarded', 1], ['tcpFlags=syn', 6], ['tcpFlags=psh%2Back,fin', 1], ['pod=data/db', 3], ['destinationClusterName=demo', 7], ['process=*/curl', 1], ['layer7=http', 4], ['httpStatus=5%2B', 1],
    ['dnsQuery=*.internal', 1], ['dropReason=policy-denied', 1],
  ])('filter by %s', async (query, expected) => {
    expect(await count(query)).toBe(expected);
  });

  it('say what was lost in the window', async () => {
    expect((await ask('?since=5m').expect(200)).body.coverage).toEqual({ complete: false, lost: 5, sampled: 0, losses: { evicted: 5 } });
  });
});

describe('summaries of layer 7', () => {
  it('tell rate, errors and latency of HTTP by edge', async () => {
    const { body } = await ask('/http?since=10m').expect(200);
    expect(body.items).toHaveLength(2);
    expect(body.items[0]).toMatchObject({ source: { workload: 'frontend-a' }, destination: { workload: 'backend-a' }, http: { requests: 3, errorRate: 1 / 3 } });
    const { p50Us, p99Us } = body.items[0].http as { p50Us: number; p99Us: number };
    // Buckets are exact to 19 %.
    expect(p50Us).toBeGreaterThanOrEqual(1000);
    expect(p50Us).toBeLessThanOrEqual(1190);
    expect(p99Us).toBeGreaterThanOrEqual(90_000);
    expect((await ask('/http?since=10m&limit=1').expect(200)).body).toMatchObject({ items: [{}], beyond: { edges: 1 } });
  });

  it('tell the names that were asked for', async () => {
    const { body } = await ask('/dns?since=10m').expect(200);
    expect(body).toMatchObject({ items: [{ query: 'api.example.com', lookups: 1, failureRate: 0, byRcode: { 0: 1 }, clients: 1, addresses: ['192.0.2.1'] }, { query: 'db.internal' }], beyond: { names: 0 }, coverage: { lost: 5 } });
    expect(body.items[0].p50Us).toBeGreaterThanOrEqual(800);
    expect((await ask('/dns?since=8d').expect(400)).body.code).toBe('request.invalid');
  });

  it('tell what went away, what came, and what is denied now', async () => {
    const before = (over: Partial<FlowRecord> = {}): FlowRecord => flow(40 * 60, over);
    const gone = { ...BACKEND, workload: 'gone-a' };
    await store([before({ destination: gone, event: 'delta' }), before({ destination: DATABASE })]);
    const { body } = await ask(`/changes?since=${encodeURIComponent(new Date((nowUs - 30 * MINUTE_US) / 1000).toISOString())}&compareSince=60m&compareUntil=30m`).expect(200);
    const changes = (body.items as { change: string; destination: { workload?: string } }[]).map(({ change, destination }) => `${change} ${destination.workload}`);
    expect(changes).toContain('disappeared gone-a');
    expect(changes).toContain('verdict db-a');
    expect(changes).toContain('appeared backend-a');
    expect(body.coverage.lost).toBe(5);
  });
});

describe('exports', () => {
  it('write OCSF network activity', async () => {
    const events = await lines('/export?format=ocsf&since=10m&verdict=dropped');
    expect(events[0]).toMatchObject({
      class_uid: 4001, category_uid: 4, activity_id: 5, type_uid: 400_105, disposition_id: 2, action_id: 2, metadata: { version: '1.3.0', product: { name: 'Palisade' } },
      src_endpoint: { ip: '10.1.0.1', port: 40_000, name: 'frontend-a' }, dst_endpoint: { ip: '10.1.0.3', port: 5432 }, connection_info: { protocol_num: 6, direction_id: 2 }, traffic: { bytes: 100, packets: 1 },
    });
    expect(events.at(-1)).toHaveProperty('coverage');
  });

  it('write Parquet that a reader takes', async () => {
    const response = await ask('/export?format=parquet&since=10m&verdict=dropped').responseType('blob').expect(200).expect('content-type', 'application/vnd.apache.parquet');
    expect(response.headers['content-disposition']).toContain('flows.parquet');
    const file = new Uint8Array(response.body as Buffer).buffer;
    expect(await parquetReadObjects({ file })).toMatchObject([{ verdict: 'dropped', dropReason: 'policy-denied', sourceWorkload: 'frontend-a', destinationPort: 5432n, process: '/usr/bin/curl' }]);
    await ask('/export?format=parquet&resumable=true').expect(400);
  });

  it('go on from the last cursor without a gap or a repeat', async () => {
    await store(Array.from({ length: 2_300 }, (_, index) => flow(100, { bytes: index, node: 'bulk' })));
    const whole = await lines('/export?node=bulk&since=10m&resumable=true');
    const cursors = whole.flatMap((line, index) => (typeof line['cursor'] === 'string' ? [{ index, cursor: line['cursor'] }] : []));
    expect(cursors).toHaveLength(2);
    const [{ index, cursor }] = cursors as [{ index: number; cursor: string }];
    const rest = await lines(`/export?node=bulk&since=10m&resumable=true&cursor=${cursor}`);
    const idsOf = (part: readonly Record<string, unknown>[]): unknown[] => part.flatMap(({ id }) => (id === undefined ? [] : [id]));
    expect(idsOf(rest)).toEqual(idsOf(whole.slice(index)));
    expect(new Set(idsOf(whole)).size).toBe(2_300);
    expect((await ask(`/export?since=10m&resumable=true&cursor=${cursor}`).expect(400)).body.code).toBe('cursor.invalid');
    await ask('/export?format=csv&resumable=true').expect(400);
  });
});

describe('metrics', () => {
  it('have Hubble names and labels, for a cluster and for the tenant', async () => {
    for (const path of [`/v1/clusters/${clusterId}/flows/metrics`, '/v1/flows/metrics']) {
      const { text: metrics } = await api.request.get(path).set('authorization', tenant.authorization).expect(200).expect('content-type', /text\/plain/);
      expect(metrics).toMatch(/^hubble_drop_total\{protocol="TCP",reason="POLICY_DENIED"\} \d+$/m);
      expect(metrics).toMatch(/^hubble_tcp_flags_total\{family="IPv4",flag="SYN"\} \d+$/m);
      expect(metrics).toMatch(/^hubble_dns_responses_total\{.*rcode="No Error".*\} \d+$/m);
      expect(metrics).toMatch(/^hubble_http_requests_total\{.*method="GET".*status="503"\} 1$/m);
      expect(metrics).toMatch(/^hubble_http_request_duration_seconds_bucket\{.*le="\+Inf"\} 3$/m);
      expect(metrics).toMatch(/^hubble_lost_events_total\{source="observer_events_queue"\} 5$/m);
      expect(metrics).toMatch(/^palisade_folded_series\{metric="hubble_drop_total"\} 0$/m);
    }
  });

  it('count what came since the last scrape, once, also when two scrape together', async () => {
    const posts = async (): Promise<number> => {
      const { text: metrics } = await ask('/metrics').expect(200);
      return Number(/^hubble_http_requests_total\{.*method="POST".*\} (\d+)$/m.exec(metrics)?.[1] ?? 0);
    };
    expect(await posts()).toBe(0);
    await store([flow(1, { event: 'l7', http: { method: 'POST', path: '/', status: 201 } })]);
    expect(await Promise.all([posts(), posts(), posts()])).toEqual([1, 1, 1]);
    await store([flow(1, { event: 'l7', http: { method: 'POST', path: '/', status: 201 } })]);
    expect(await posts()).toBe(2);
  });

  it('want a token', async () => {
    await api.request.get('/v1/flows/metrics').expect(401);
  });
});

describe('a team that is bound to a namespace', () => {
  it('is told in every answer only of what touches it', async () => {
    for (const path of ['?since=10m&limit=1000', `?since=10m&${'allow=sourceNamespace%3Dshop'}`, '/service-map', '/top-talkers', '/drops', '/http', '/dns', '/changes', '/export?since=10m', '/export?format=ocsf&since=10m', '/export?format=csv&since=10m']) {
      const seen = await text(path, team);
      expect(seen, path).not.toMatch(/backend-a|gone-a|api\.example\.com/);
    }
    const { body } = await ask('/dns?since=10m', team).expect(200);
    expect(body.items.map(({ query }: { query: string }) => query)).toEqual(['db.internal']);
    expect((await ask('/http', team).expect(200)).body.items).toHaveLength(1);
  });

  it.each([() => `/v1/clusters/${clusterId}/flows/metrics`, () => '/v1/flows/metrics'])('finds only its own in the metrics', async (path) => {
    const { text: metrics } = await api.request.get(path()).set('authorization', team).expect(200);
    expect(metrics).not.toMatch(/backend-a|gone-a/);
    expect(metrics).toMatch(/^hubble_http_requests_total\{destination="data\/db-b".*\} 1$/m);
    expect(metrics).not.toMatch(/status="503"/);
  });
});
