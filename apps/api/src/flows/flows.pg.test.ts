import { randomUUID } from 'node:crypto';
import { createServer, get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { columnsOf, type FlowEnd, type FlowRecord } from '@palisade/flow';
import { PostgresFlowSink } from '@palisade/flow-store';
import { WHOLE_TENANT } from '@palisade/tenancy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiUnderTest, type TestTenant } from '../testing/api-under-test.ts';

const FRONTEND: FlowEnd = { address: '10.1.0.1', port: 40_000, identity: 1001, labels: ['k8s:app=frontend'], namespace: 'shop', workload: 'frontend-a' };
const BACKEND: FlowEnd = { address: '10.1.0.2', port: 8080, identity: 1002, labels: ['k8s:app=backend'], namespace: 'shop', workload: 'backend-a' };
const DATABASE: FlowEnd = { address: '10.1.0.3', port: 5432, identity: 1003, labels: ['k8s:app=db'], namespace: 'data', workload: 'db-a' };

function flow(lastSeenUs: number, over: Partial<FlowRecord> = {}): FlowRecord {
  return {
    event: 'delta', source: FRONTEND, destination: BACKEND, protocol: 6, direction: 'egress', node: 'node-a', verdict: 'forwarded', policies: [], isReply: false,
    packets: 10, bytes: 1000, replyPackets: 5, replyBytes: 500, firstSeenUs: lastSeenUs - 10, lastSeenUs, tcpFlags: 0, generation: '1.1', policyRevision: 1, identityRevision: 1,
    origin: 'ebpf', weight: 1, ...over,
  };
}

const denied = { event: 'dropped', verdict: 'dropped', dropReason: 'policy-denied', destination: DATABASE } as const;

let api: ApiUnderTest;
let ingest: pg.Pool;
let sink: PostgresFlowSink;
let tenant: TestTenant;
let clusterId: string;
const nowUs = Math.floor(Date.now() / 1000) * 1_000_000;

async function createCluster(owner: TestTenant): Promise<string> {
  const { body } = await api.request.post('/v1/clusters').set('authorization', owner.authorization).send({ name: `c${randomUUID().slice(0, 8)}` }).expect(201);
  return (body as { id: string }).id;
}

async function store(flows: readonly FlowRecord[], cluster = clusterId): Promise<void> {
  await sink.append([{
    sender: { tenantId: tenant.tenantId, clusterId: cluster, nodeId: randomUUID() },
    batch: { bootId: randomUUID(), seq: 1, windowStartUs: 1, windowEndUs: 2, account: { seen: flows.length, exported: flows.length, sampled: 0, dropped: {} }, columns: columnsOf(flows) },
  }]);
}

beforeAll(async () => {
  api = await startApi();
  ingest = new pg.Pool({ connectionString: api.database.ingestUrl, max: 2 });
  sink = new PostgresFlowSink(ingest);
  tenant = await api.tenant('acme');
  clusterId = await createCluster(tenant);
  await store([
    ...Array.from({ length: 25 }, (_, index) => flow(nowUs - index * 1_000_000, { bytes: index })),
    flow(nowUs - 30_000_000, denied), flow(nowUs - 31_000_000, { ...denied, source: BACKEND }),
  ]);
});

afterAll(async () => {
  await ingest.end();
  await api.close();
});

const ask = (path: string, authorization = tenant.authorization) => api.request.get(`/v1/clusters/${clusterId}/${path}`).set('authorization', authorization);

describe('GET /v1/clusters/{id}/flows', () => {
  it('answers the newest flows with names, verdict and coverage', async () => {
    const { body } = await ask('flows?limit=1').expect(200);
    expect(body).toMatchObject({
      items: [{ verdict: 'forwarded', protocol: 'TCP', source: { workload: 'frontend-a', labels: ['k8s:app=frontend'] }, destination: { port: 8080 }, clusterId }],
      coverage: { complete: true, lost: 0, sampled: 0 },
    });
  });

  it('keeps to the fields that are asked for, and refuses one that is none', async () => {
    const { body } = await ask('flows?limit=2&fields=verdict,source.namespace,policies').expect(200);
    expect(body.items).toEqual([{ verdict: 'forwarded', source: { namespace: 'shop' }, policies: [] }, { verdict: 'forwarded', source: { namespace: 'shop' }, policies: [] }]);
    expect(body.coverage.complete).toBe(true);
    expect((await ask('flows?fields=verdict,source.nation').expect(400)).body.code).toBe('request.invalid');
    const next = body.next as string;
    await ask(`flows?limit=2&fields=verdict,source.namespace,policies&cursor=${next}`).expect(200);
  });

  it('filters', async () => {
    const { body } = await ask('flows?since=5m&verdict=dropped&sourceWorkload=frontend-*&destinationPort=5432&ip=10.1.0.0/24').expect(200);
    expect(body.items).toHaveLength(1);
    expect(body.items[0]).toMatchObject({ verdict: 'dropped', dropReason: 'policy-denied', destination: { namespace: 'data' } });
    expect(body.next).toBeUndefined();
  });

  it('pages by a cursor that holds for the same question only', async () => {
    const first = await ask('flows?limit=10&since=10m').expect(200);
    const second = await ask(`flows?limit=10&since=10m&cursor=${first.body.next}`).expect(200);
    const third = await ask(`flows?limit=10&since=10m&cursor=${second.body.next}`).expect(200);
    const ids = [first, second, third].flatMap(({ body }) => (body.items as { id: string }[]).map(({ id }) => id));
    expect(new Set(ids).size).toBe(27);
    expect(third.body.next).toBeUndefined();
    expect((await ask(`flows?limit=10&since=10m&verdict=dropped&cursor=${first.body.next}`).expect(400)).body.code).toBe('cursor.invalid');
  });

  it.each(['verdict=denied', 'port=99999', 'nonsense=1', 'since=yesterday', 'limit=0', 'ip=10.0.0.0%2F99'])('refuses ?%s and names the field', async (query) => {
    const { body } = await ask(`flows?${query}`).expect(400);
    expect(body.code).toBe('request.invalid');
  });

  it('answers 404 for a cluster of another tenant', async () => {
    const stranger = await api.tenant('globex');
    for (const path of ['flows', 'flows/service-map', 'flows/follow', 'flows/drops']) await ask(path, stranger.authorization).expect(404);
  });

  it('shows an application team only flows that touch its namespaces', async () => {
    const authorization = await api.token(tenant.tenantId, ['app-team'], { ...WHOLE_TENANT, namespaces: ['data'] });
    const { body } = await ask('flows', authorization).expect(200);
    expect(body.items).toHaveLength(2);
    expect(((await ask('flows/service-map', authorization).expect(200)).body.items as unknown[]).length).toBe(2);
  });
});

describe('summaries', () => {
  it('draw the service map', async () => {
    const { body } = await ask('flows/service-map').expect(200);
    expect(body.items[0]).toMatchObject({ source: { workload: 'frontend-a' }, destination: { workload: 'backend-a' }, port: 8080, protocol: 'TCP', packets: 250 });
    expect(body.coverage.complete).toBe(true);
  });

  it('name the top talkers', async () => {
    const { body } = await ask('flows/top-talkers?measure=packets&limit=1').expect(200);
    expect(body.items).toMatchObject([{ party: { workload: 'frontend-a' } }]);
  });

  it('group drops by cause, with examples', async () => {
    const { body } = await ask('flows/drops').expect(200);
    expect(body.items).toMatchObject([{ reason: 'policy-denied', verdict: 'dropped', flows: 2, examples: [{ destination: { workload: 'db-a' } }, {}] }]);
  });

  it('tell what is new', async () => {
    const { body } = await ask('flows/changes?since=30m').expect(200);
    expect(body.items).toHaveLength(3);
    expect(body.items.every((item: { change: string }) => item.change === 'appeared')).toBe(true);
  });
});

describe('exports and metrics', () => {
  it('stream NDJSON that ends in the coverage, and tell the audit log', async () => {
    const response = await ask('flows/export?sourceWorkload=frontend-a').buffer(true).parse((raw, done) => {
      let text = '';
      raw.on('data', (chunk: Buffer) => (text += chunk.toString()));
      raw.on('end', () => done(null, text));
    }).expect(200);
    const lines = (response.body as string).trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.at(-1)).toMatchObject({ coverage: { complete: true } });
    expect(lines.slice(0, -1).length).toBeGreaterThanOrEqual(26);
    const audit = await api.request.get('/v1/audit/events?limit=5').set('authorization', tenant.authorization).expect(200);
    expect(audit.body.items).toContainEqual(expect.objectContaining({ action: 'flows.exported' }));
  });

  it('write CSV that no spreadsheet takes for a formula', async () => {
    await store([flow(nowUs, { source: { ...FRONTEND, workload: '=cmd()' }, bytes: 77 })]);
    const { text } = await ask('flows/export?format=csv&sourceWorkload=%3Dcmd*').expect(200).expect('content-type', /text\/csv/).expect('flow-coverage', 'complete=?1, lost=0, sampled=0');
    expect(text.split('\r\n')).toHaveLength(3);
    expect(text).toContain("'=cmd()");
  });

  it('are not for everybody', async () => {
    await ask('flows/export', await api.token(tenant.tenantId, ['viewer'])).expect(403);
  });

  it('answer today in Prometheus form', async () => {
    const { text } = await ask('flows/metrics').expect(200).expect('content-type', /text\/plain/);
    expect(text).toMatch(/^hubble_flows_processed_total\{.*type="Drop",verdict="DROPPED"\} \d+$/m);
  });
});

describe('following', () => {
  const listen = async (): Promise<{ url: string; close: () => void }> => {
    const handler = api.app.getHttpAdapter().getInstance().routing as Parameters<typeof createServer>[1];
    const server = createServer(handler as never);
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => { server.closeAllConnections(); server.close(); } };
  };

  /** Reads events until there are `count` flows; ends the stream. */
  const follow = async (url: string, path: string, count: number, ready?: () => Promise<void>, headers: Record<string, string> = {}): Promise<{ text: string; flows: { bytes: number }[]; lastId: string }> => {
    const request = get(`${url}/v1/clusters/${clusterId}/${path}`, { headers: { authorization: tenant.authorization, ...headers } });
    const response = await new Promise<IncomingMessage>((done, fail) => request.once('response', done).once('error', fail));
    expect(response.statusCode).toBe(200);
    await ready?.();
    let text = '';
    for await (const chunk of response) {
      text += String(chunk);
      if ([...text.matchAll(/^data: .*\n\n/gm)].length >= count) break;
    }
    request.destroy();
    return {
      text,
      flows: [...text.matchAll(/^data: (.*)$/gm)].map((match) => JSON.parse(match[1] ?? '') as { bytes: number }),
      lastId: [...text.matchAll(/^id: (.*)$/gm)].at(-1)?.[1] ?? '',
    };
  };

  it('streams what comes after, and resumes without a gap or a repeat', async () => {
    const server = await listen();
    try {
      const first = await follow(server.url, 'flows/follow?verdict=dropped', 1, () => store([flow(nowUs, { bytes: 1 }), flow(nowUs, { ...denied, bytes: 2 })]));
      expect(first.flows.map(({ bytes }) => bytes)).toEqual([2]);
      await store([flow(nowUs - 5, { ...denied, bytes: 3 })]);
      await store([flow(nowUs - 9, { ...denied, bytes: 4 })]);
      const second = await follow(server.url, 'flows/follow?verdict=dropped', 2, undefined, { 'last-event-id': first.lastId });
      expect(second.flows.map(({ bytes }) => bytes)).toEqual([3, 4]);
    } finally {
      server.close();
    }
  });

  it('says what is lacking, and keeps to the fields asked for', async () => {
    const server = await listen();
    try {
      const { text } = await follow(server.url, 'flows/follow?since=1h&verdict=dropped&fields=verdict,destination.workload', 3);
      expect(text).toContain('event: flow\ndata: {"verdict":"dropped","destination":{"workload":"db-a"}}\n\n');
      expect(text).toMatch(/^event: coverage\ndata: \{"since":".*Z","until":".*Z","complete":true,"lost":0,"sampled":0,"losses":\{\}\}$/m);
    } finally {
      server.close();
    }
  });

  it('tells a team only of its own namespaces', async () => {
    const authorization = await api.token(tenant.tenantId, ['app-team'], { ...WHOLE_TENANT, namespaces: ['data'] });
    const server = await listen();
    try {
      const { flows } = await follow(server.url, 'flows/follow', 1, () => store([flow(nowUs, { bytes: 50 }), flow(nowUs, { ...denied, bytes: 51 })]), { authorization });
      expect(flows.map(({ bytes }) => bytes)).toEqual([51]);
    } finally {
      server.close();
    }
  });
});
