import { randomUUID } from 'node:crypto';
import { ManageFlowSinks, type FlowSinkRecord } from '@palisade/control';
import { columnsOf, type FlowRecord } from '@palisade/flow';
import { PostgresFlowReader, PostgresFlowSink, postgresFlowReaders } from '@palisade/flow-store';
import { createUnitOfWork, flowSinkRepositories, openDatabase } from '@palisade/store';
import { parseTenantId, systemContext, type TenantContext } from '@palisade/tenancy';
import pg from 'pg';
import type { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { withClient } from '../../../../tools/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { flowDelivery, type FlowDelivery } from './flow-delivery.ts';
import { OtlpHttpTransport } from './otlp-transport.ts';
import { startOtlpReceiver, type OtlpReceiver } from './testing/otlp-receiver.ts';

let database: TestDatabase;
let ingest: pg.Pool;
let reads: pg.Pool;
let workerReads: pg.Pool;
let api: DataSource;
let worker: DataSource;
let delivery: FlowDelivery;
let sinks: ManageFlowSinks;
let receiver: OtlpReceiver;
let context: TenantContext;

const nowUs = Math.floor(Date.now() / 1000) * 1_000_000;

function flow(bytes: number, over: Partial<FlowRecord> = {}): FlowRecord {
  return {
    event: 'new', source: { address: '10.1.0.1', port: 40_000, identity: 1001, labels: ['k8s:app=a'], namespace: 'shop', workload: 'a' }, destination: { address: '10.1.0.2', port: 80, identity: 1002, labels: [], namespace: 'shop', workload: 'b' },
    protocol: 6, direction: 'egress', node: 'n', verdict: 'forwarded', policies: [], isReply: false, packets: 1, bytes, replyPackets: 0, replyBytes: 0, firstSeenUs: nowUs, lastSeenUs: nowUs, tcpFlags: 2, generation: '1.1',
    policyRevision: 1, identityRevision: 1, origin: 'ebpf', weight: 1, ...over,
  };
}

async function store(flows: readonly FlowRecord[], who = context): Promise<void> {
  await new PostgresFlowSink(ingest).append([{
    sender: { tenantId: who.tenantId, clusterId: randomUUID(), nodeId: randomUUID() },
    batch: { bootId: randomUUID(), seq: 1, windowStartUs: nowUs, windowEndUs: nowUs, account: { seen: flows.length, exported: flows.length, sampled: 0, dropped: {} }, columns: columnsOf(flows) },
  }]);
}

const create = (over: object = {}): Promise<FlowSinkRecord> => sinks.create(context, { name: 's', endpoint: receiver.url, headers: { 'x-key': 's3cret' }, logs: true, metrics: false, ...over });
const state = async (): Promise<FlowSinkRecord> => (await sinks.list(context, { limit: 1 })).items[0] as FlowSinkRecord;
/** Turns until nothing is due now; a sink that waits for its retry is not. */
const settle = async (): Promise<void> => { for (let turn = 0; turn < 5; turn++) await delivery.run(); };
const dueAgain = (): Promise<unknown> => withClient(database.adminUrl, (client) => client.query('UPDATE palisade.flow_sinks SET next_attempt_at = now()'));
const bytesOf = (): number[] => receiver.logs.map((log) => Number(log['palisade.bytes']));

beforeAll(async () => {
  database = await createTestDatabase();
  ingest = new pg.Pool({ connectionString: database.ingestUrl, max: 2 });
  reads = new pg.Pool({ connectionString: database.apiUrl, max: 2 });
  api = await openDatabase({ url: database.apiUrl, applicationName: 'sinks-api' });
  worker = await openDatabase({ url: database.workerUrl, applicationName: 'sinks-worker' });
  workerReads = new pg.Pool({ connectionString: database.workerUrl, max: 4 });
  delivery = flowDelivery({ readers: postgresFlowReaders(workerReads), source: worker, allowInternal: true });
  sinks = new ManageFlowSinks({ unitOfWork: createUnitOfWork(api, flowSinkRepositories), flows: new PostgresFlowReader(reads) });
});

afterAll(async () => {
  await Promise.all([ingest.end(), reads.end(), workerReads.end(), api.destroy(), worker.destroy()]);
  await database.drop();
});

beforeEach(async () => {
  receiver = await startOtlpReceiver();
  const { rows } = await withClient(database.adminUrl, (client) => client.query<{ tenant_id: string }>('INSERT INTO palisade.tenants (name) VALUES ($1) RETURNING tenant_id', [randomUUID()]));
  context = systemContext(parseTenantId(rows[0]?.tenant_id ?? ''), 'test');
});

afterEach(async () => {
  await receiver.close();
  await withClient(database.adminUrl, (client) => client.query('DELETE FROM palisade.flow_sinks'));
});

describe('sending flows to a sink', () => {
  it('sends what is stored after it was set up, each flow as a log record that a strict receiver takes', async () => {
    await store([flow(1)]);
    await create();
    await store([flow(2, { verdict: 'dropped', event: 'dropped', dropReason: 'policy-denied' }), flow(3, { event: 'l7', http: { method: 'GET', path: '/', status: 200, latencyUs: 5 } })]);
    await store([flow(4, { event: 'dns', protocol: 17, dns: { query: 'a.example', addresses: ['192.0.2.1', '2001:db8::1'], rcode: 0 }, process: { binary: '/bin/x', pid: 1, uid: 0 } })]);
    await store([flow(99)], systemContext(parseTenantId(randomUUID()), 'stranger'));
    await settle();
    expect(receiver.faults).toEqual([]);
    expect(bytesOf()).toEqual([2, 3, 4]);
    expect(receiver.logs[0]).toMatchObject({ 'palisade.verdict': 'dropped', 'palisade.drop_reason': 'policy-denied', 'source.address': '10.1.0.1', 'source.port': '40000', 'destination.port': '80', 'network.transport': 'tcp', 'palisade.source.workload': 'a' });
    expect(receiver.logs[1]).toMatchObject({ 'http.request.method': 'GET', 'http.response.status_code': '200' });
    expect(receiver.headers[0]).toMatchObject({ 'x-key': 's3cret', 'content-encoding': 'gzip' });
    expect(await state()).toMatchObject({ sentFlows: 3, rejectedFlows: 0, headerNames: ['x-key'], caughtUpAt: expect.any(Date), sentUntil: new Date(nowUs / 1000) });
    expect(JSON.stringify(await state())).not.toContain('s3cret');
  });

  it('loses nothing while the receiver is down, says since when and why, and goes on in order', async () => {
    await create();
    receiver.answer = () => ({ status: 503, body: 'later', headers: { 'retry-after': '7' } });
    await store([flow(1)]);
    await settle();
    await store([flow(2)]);
    const failing = await state();
    expect(failing).toMatchObject({ sentFlows: 0, failingSince: expect.any(Date), lastError: expect.stringContaining('503') });
    expect(failing.nextAttemptAt.getTime()).toBeGreaterThan(Date.now() + 4_000);
    expect(receiver.requests).toBe(1);
    receiver.answer = undefined;
    await dueAgain();
    await settle();
    expect(bytesOf()).toEqual([1, 2]);
    expect((await state()).failingSince).toBeUndefined();
  });

  it('sends a portion again when its acceptance was not recorded, and nothing before it', async () => {
    await create();
    await store(Array.from({ length: 400 }, (_, index) => flow(index)));
    await store(Array.from({ length: 400 }, (_, index) => flow(400 + index)));
    receiver.answer = (_, request) => (request === 2 ? { status: 500 } : undefined);
    await settle();
    await dueAgain();
    await settle();
    expect(bytesOf()).toEqual(Array.from({ length: 800 }, (_, index) => index));
  });

  it('counts what the receiver refuses for good, and passes over it', async () => {
    await create();
    await store([flow(1), flow(2)]);
    receiver.answer = (_, request) => (request === 1 ? { status: 400, body: 'no' } : { status: 200, body: '{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"too old"}}' });
    await settle();
    expect(await state()).toMatchObject({ sentFlows: 0, rejectedFlows: 2 });
    await store([flow(3), flow(4)]);
    await dueAgain();
    await settle();
    expect(await state()).toMatchObject({ sentFlows: 1, rejectedFlows: 3 });
  });

  it('sends once while several workers look for work', async () => {
    await create();
    await store(Array.from({ length: 50 }, (_, index) => flow(index)));
    const other = flowDelivery({ readers: postgresFlowReaders(workerReads), source: worker, allowInternal: true });
    await Promise.all([delivery.run(), other.run(), delivery.run(), other.run()]);
    expect(bytesOf()).toEqual(Array.from({ length: 50 }, (_, index) => index));
  });

  it('sends nothing while it is paused, and goes on from there', async () => {
    const sink = await create();
    await sinks.change(context, sink.id, { enabled: false });
    await store([flow(1)]);
    await settle();
    expect(receiver.requests).toBe(0);
    await sinks.change(context, sink.id, { enabled: true });
    await settle();
    expect(bytesOf()).toEqual([1]);
  });

  it('sends metrics with Hubble names', async () => {
    await create({ logs: false, metrics: true });
    await store([flow(1), flow(2, { verdict: 'dropped', event: 'dropped', dropReason: 'policy-denied' }), flow(3, { event: 'l7', http: { method: 'GET', path: '/', status: 200, latencyUs: 5000 } })]);
    await settle();
    expect(receiver.faults).toEqual([]);
    expect([...receiver.metrics.keys()]).toEqual(expect.arrayContaining(['hubble_flows_processed_total', 'hubble_drop_total', 'hubble_http_requests_total', 'hubble_http_request_duration_seconds', 'hubble_tcp_flags_total']));
    expect(receiver.metrics.get('hubble_drop_total')).toMatchObject({ sum: { dataPoints: [{ asDouble: 1 }] } });
    expect((await state()).metricsAt).toBeInstanceOf(Date);
  });
});

describe('where a sink may send to', () => {
  const strict = new OtlpHttpTransport({ allowInternal: false });
  it.each(['http://192.0.2.1', 'https://127.0.0.1:1', 'https://10.0.0.1', 'https://169.254.169.254', 'https://[::1]:1', 'https://[fd00::1]', 'https://[::ffff:127.0.0.1]:1', 'https://localhost:1'])('not to %s, unless the operator allows it', async (endpoint) => {
    expect(await strict.send({ endpoint, headers: {} }, 'logs', {})).toMatchObject({ kind: 'failed', message: expect.stringMatching(/internal|https/) });
  });
});
