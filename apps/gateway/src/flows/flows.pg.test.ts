import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type ClientHttp2Session } from 'node:http2';
import { columnsOf, type FlowRecord } from '@palisade/flow';
import { createLogger } from '@palisade/nest-kit';
import { AGENT_ROUTES, decodeFlowBatchReceipt, encodeFlowBatch, PROTOBUF_CONTENT_TYPE, type FlowBatchReceipt } from '@palisade/protocol';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { readGatewayConfig } from '../config.ts';
import { startGateway, type RunningGateway } from '../gateway.ts';
import { enrollNode, type EnrolledNode } from './testing/enrolled-node.ts';
import { createTestAuthority, type NodeCertificate, type TestAuthority } from './testing/node-certificates.ts';

let database: TestDatabase;
let authority: TestAuthority;
let admin: pg.Pool;
let gateway: RunningGateway;

const tenantId = randomUUID();
const clusterId = randomUUID();

function startOwnGateway(port = 0): Promise<RunningGateway> {
  const config = readGatewayConfig({
    DATABASE_URL: database.gatewayUrl, INGEST_DATABASE_URL: database.ingestUrl, PALISADE_GATEWAY_TLS_DIR: authority.folder, PALISADE_GATEWAY_LISTEN: `127.0.0.1:${port}`,
  });
  return startGateway(config, createLogger('gateway', 'silent'));
}

beforeAll(async () => {
  database = await createTestDatabase();
  authority = await createTestAuthority();
  admin = new pg.Pool({ connectionString: database.adminUrl, max: 2 });
  gateway = await startOwnGateway();
});

afterAll(async () => {
  await gateway.close();
  await admin.end();
  await database.drop();
  authority.remove();
});

/** The certificate of a node that is enrolled. */
async function issue(node: EnrolledNode): Promise<NodeCertificate> {
  await enrollNode(admin, node);
  return authority.issue(node);
}

function flow(bytes: number): FlowRecord {
  const end = { address: '10.0.0.1', port: 80, identity: 1000, labels: [] };
  const nowUs = Date.now() * 1000;
  return {
    event: 'delta', source: end, destination: end, protocol: 6, direction: 'egress', node: 'n', verdict: 'forwarded', policies: [], isReply: false, packets: 1, bytes, replyPackets: 0, replyBytes: 0,
    firstSeenUs: nowUs, lastSeenUs: nowUs, tcpFlags: 0, generation: '1.1', policyRevision: 1, identityRevision: 1, origin: 'ebpf', weight: 1,
  };
}

function batch(bootId: string, seq: number, flows: readonly FlowRecord[]): Uint8Array {
  const account = { seen: flows.length, exported: flows.length, sampled: 0, dropped: {} };
  return encodeFlowBatch({ bootId, seq, windowStartUs: 1, windowEndUs: 2, account, columns: columnsOf(flows) });
}

function open(certificate: NodeCertificate | undefined): ClientHttp2Session {
  const session = connect(`https://localhost:${gateway.port}`, { ca: authority.gatewayCa, ...(certificate && { cert: certificate.cert, key: certificate.key }) });
  session.on('error', () => undefined);
  return session;
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

async function post(session: ClientHttp2Session, body: Uint8Array): Promise<Answer> {
  const stream = session.request({ ':method': 'POST', ':path': AGENT_ROUTES.flows.path, 'content-type': PROTOBUF_CONTENT_TYPE });
  stream.on('error', () => undefined);
  stream.end(body);
  const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer);
  return { status: headers[':status'] ?? 0, body: Buffer.concat(parts) };
}

async function send(session: ClientHttp2Session, body: Uint8Array): Promise<FlowBatchReceipt> {
  const answer = await post(session, body);
  expect(answer.status, answer.body.toString()).toBe(200);
  return decodeFlowBatchReceipt(answer.body);
}

async function storedBytes(tenant: string): Promise<number[]> {
  const { rows } = await admin.query<{ bytes: string }>('SELECT bytes FROM palisade.flow WHERE tenant_id = $1 ORDER BY bytes', [tenant]);
  return rows.map((row) => Number(row.bytes));
}

describe('POST /agent/v1/flows', () => {
  it('stores a batch once and gives credit, also when it is sent again', async () => {
    const session = open(await issue({ tenantId, clusterId, nodeId: randomUUID() }));
    const body = batch(randomUUID(), 1, [flow(11), flow(12)]);
    expect(await send(session, body)).toMatchObject({ seq: 1, outcome: 'stored', retryAfterMs: 0 });
    const again = await send(session, body);
    expect(again.outcome).toBe('duplicate');
    expect(again.credit).toBeGreaterThan(0);
    expect(await storedBytes(tenantId)).toEqual([11, 12]);
    session.destroy();
  });

  it('refuses a node that nobody enrolled, whatever its certificate says', async () => {
    const session = open(await authority.issue({ tenantId, clusterId, nodeId: randomUUID() }));
    expect((await post(session, batch(randomUUID(), 1, [flow(1)]))).status).toBe(401);
    session.destroy();
  });

  it('takes tenant, cluster and node from the certificate', async () => {
    const other = { tenantId: randomUUID(), clusterId: randomUUID(), nodeId: randomUUID() };
    const session = open(await issue(other));
    await send(session, batch(randomUUID(), 1, [flow(21)]));
    expect(await storedBytes(other.tenantId)).toEqual([21]);
    const { rows } = await admin.query('SELECT cluster_id, node_id FROM palisade.flow_batch WHERE tenant_id = $1', [other.tenantId]);
    expect(rows).toEqual([{ cluster_id: other.clusterId, node_id: other.nodeId }]);
    session.destroy();
  });

  it('refuses senders without a node certificate of its authority', async () => {
    const foreign = await createTestAuthority();
    try {
      for (const certificate of [undefined, await foreign.issue({ tenantId, clusterId, nodeId: randomUUID() })]) {
        const session = open(certificate);
        const answer = await post(session, batch(randomUUID(), 1, [flow(1)]));
        expect(answer.status).toBe(401);
        expect(JSON.parse(answer.body.toString())).toMatchObject({ code: 'auth.unauthenticated' });
        session.destroy();
      }
    } finally {
      foreign.remove();
    }
  });

  it('stores no query string and no process arguments, until the tenant keeps them', async () => {
    const { rows } = await admin.query<{ tenant_id: string }>('INSERT INTO palisade.tenants (name) VALUES ($1) RETURNING tenant_id', [randomUUID()]);
    const [{ tenant_id: keeping }] = rows as [{ tenant_id: string }];
    await admin.query('INSERT INTO palisade.flow_privacy (tenant_id, keep_query_strings, keep_process_arguments) VALUES ($1, true, true)', [keeping]);
    const stored = async (tenant: string): Promise<unknown> => {
      const session = open(await issue({ tenantId: tenant, clusterId, nodeId: randomUUID() }));
      const secret = { ...flow(7), event: 'l7' as const, http: { method: 'GET', path: '/a?token=x' }, process: { binary: '/bin/x', pid: 1, uid: 0, arguments: '--password x' } };
      expect(decodeFlowBatchReceipt((await post(session, batch(randomUUID(), 1, [secret]))).body).outcome).toBe('stored');
      session.destroy();
      return (await admin.query('SELECT h.path, p.arguments FROM palisade.flow_http h JOIN palisade.flow_process p USING (tenant_id) WHERE h.tenant_id = $1', [tenant])).rows;
    };
    expect(await stored(keeping)).toEqual([{ path: '/a?token=x', arguments: '--password x' }]);
    expect(await stored(randomUUID())).toEqual([{ path: '/a', arguments: null }]);
  });

  it('takes as much of a tenant as its plan allows, and tells it how long to wait with the rest', async () => {
    const { rows } = await admin.query<{ tenant_id: string }>('INSERT INTO palisade.tenants (name) VALUES ($1) RETURNING tenant_id', [randomUUID()]);
    const [{ tenant_id: bound }] = rows as [{ tenant_id: string }];
    await admin.query('INSERT INTO palisade.flow_plan (tenant_id, bytes_per_day) VALUES ($1, 1)', [bound]);
    const receipts = async (tenant: string, count: number): Promise<string[]> => {
      const session = open(await issue({ tenantId: tenant, clusterId, nodeId: randomUUID() }));
      const outcomes: string[] = [];
      for (let seq = 1; seq <= count; seq++) outcomes.push(decodeFlowBatchReceipt((await post(session, batch(randomUUID(), seq, [flow(1)]))).body).outcome);
      session.destroy();
      return outcomes;
    };
    // The plan is known once the first batch has asked for it.
    await receipts(bound, 1);
    await vi.waitFor(async () => expect(await receipts(bound, 1)).toEqual(['deferred']));
    expect(await receipts(randomUUID(), 3)).toEqual(['stored', 'stored', 'stored']);
  });

  it('answers what cannot be read with a problem document', async () => {
    const session = open(await issue({ tenantId, clusterId, nodeId: randomUUID() }));
    expect((await post(session, Buffer.from('no batch'))).status).toBe(400);
    expect((await post(session, new Uint8Array(2 * 1024 * 1024))).status).toBe(413);
    session.destroy();
  });

  it('stores every flow exactly once while the database connections break, the gateway restarts and agents send again', async () => {
    const tenant = randomUUID();
    const nodes = await Promise.all(Array.from({ length: 4 }, () => issue({ tenantId: tenant, clusterId, nodeId: randomUUID() })));
    const { port } = gateway;
    const batches = 15;
    let sent = 0;
    const agent = async (certificate: NodeCertificate, number: number): Promise<void> => {
      const bootId = randomUUID();
      let session = open(certificate);
      for (let seq = 1; seq <= batches; seq++) {
        const body = batch(bootId, seq, [flow(number * 1000 + seq * 2), flow(number * 1000 + seq * 2 + 1)]);
        await vi.waitFor(async () => {
          if (session.closed || session.destroyed) session = open(certificate);
          const answer = await post(session, body);
          expect(['stored', 'duplicate']).toContain(decodeFlowBatchReceipt(answer.body).outcome);
        }, { timeout: 20_000, interval: 20 });
        // The receipt got lost, as far as every third batch knows: it comes again.
        if (seq % 3 === 0) await post(session, body).catch(() => undefined);
        sent++;
      }
      session.destroy();
    };
    const faults = async (): Promise<void> => {
      await vi.waitFor(() => expect(sent).toBeGreaterThan(8), { timeout: 20_000, interval: 5 });
      await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'palisade_ingest' AND datname = current_database()`);
      await vi.waitFor(() => expect(sent).toBeGreaterThan(25), { timeout: 20_000, interval: 5 });
      await gateway.close();
      gateway = await startOwnGateway(port);
      await admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'palisade_ingest' AND datname = current_database()`);
    };
    await Promise.all([...nodes.map(agent), faults()]);
    const expected = nodes.flatMap((_, number) => Array.from({ length: batches * 2 }, (__, index) => number * 1000 + 2 + index));
    expect(await storedBytes(tenant)).toEqual(expected.toSorted((a, b) => a - b));
    const { rows } = await admin.query<{ bytes: string }>('SELECT sum(bytes) AS bytes FROM palisade.flow_edge_minute WHERE tenant_id = $1', [tenant]);
    expect(Number(rows[0]?.bytes)).toBe(expected.reduce((sum, bytes) => sum + bytes, 0));
  }, 60_000);
});
