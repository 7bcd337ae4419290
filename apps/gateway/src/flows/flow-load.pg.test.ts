import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type ClientHttp2Session } from 'node:http2';
import { columnsOf } from '@palisade/flow';
import { createLogger } from '@palisade/nest-kit';
import { AGENT_ROUTES, CheckInRequestSchema, encodeFlowBatch, encodeMessage, PROTOBUF_CONTENT_TYPE } from '@palisade/protocol';
import pg from 'pg';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { readGatewayConfig } from '../config.ts';
import { startGateway, type RunningGateway } from '../gateway.ts';
import { enrollNode } from './testing/enrolled-node.ts';
import { createTestAuthority, type TestAuthority } from './testing/node-certificates.ts';

const FLOW_LIMIT = 4;
const tenantId = randomUUID();
const clusterId = randomUUID();
const nodeId = randomUUID();
let database: TestDatabase;
let authority: TestAuthority;
let admin: pg.Client;
let gateway: RunningGateway;

beforeAll(async () => {
  database = await createTestDatabase();
  authority = await createTestAuthority();
  admin = new pg.Client({ connectionString: database.adminUrl });
  await admin.connect();
  await enrollNode(admin, { tenantId, clusterId, nodeId });
  const config = readGatewayConfig({
    DATABASE_URL: database.gatewayUrl, INGEST_DATABASE_URL: database.ingestUrl, PALISADE_GATEWAY_TLS_DIR: authority.folder, PALISADE_GATEWAY_LISTEN: '127.0.0.1:0', PALISADE_FLOW_LIMIT: String(FLOW_LIMIT),
  });
  gateway = await startGateway(config, createLogger('gateway', 'silent'));
});
afterAll(async () => {
  await gateway?.close();
  await admin.end();
  await database.drop();
  authority.remove();
});

interface Answer {
  readonly status: number;
  readonly retryAfter: number;
}

async function post(session: ClientHttp2Session, path: string, body: Uint8Array): Promise<Answer> {
  const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': PROTOBUF_CONTENT_TYPE });
  stream.on('error', () => undefined);
  stream.end(body);
  const [headers] = (await once(stream, 'response')) as [{ ':status'?: number; 'retry-after'?: string }];
  stream.resume();
  return { status: headers[':status'] ?? 0, retryAfter: Number(headers['retry-after'] ?? 0) };
}

function flowBatch(seq: number): Uint8Array {
  const end = { address: '10.0.0.1', port: 80, identity: 1000, labels: [] };
  const nowUs = Date.now() * 1000;
  const columns = columnsOf([{
    event: 'delta', source: end, destination: end, protocol: 6, direction: 'egress', node: 'n', verdict: 'forwarded', policies: [], isReply: false, packets: 1, bytes: 1, replyPackets: 0, replyBytes: 0,
    firstSeenUs: nowUs, lastSeenUs: nowUs, tcpFlags: 0, generation: '1.1', policyRevision: 1, identityRevision: 1, origin: 'ebpf', weight: 1,
  }]);
  return encodeFlowBatch({ bootId: randomUUID(), seq, windowStartUs: 1, windowEndUs: 2, account: { seen: 1, exported: 1, sampled: 0, dropped: {} }, columns });
}

it('flows that cannot be stored hold up no check-in, and are refused beyond their bound with a time to come back', async () => {
  const { cert, key } = await authority.issue({ tenantId, clusterId, nodeId });
  const open = (): ClientHttp2Session => connect(`https://localhost:${gateway.port}`, { ca: authority.gatewayCa, cert, key }).on('error', () => undefined);
  const sessions = [open(), open(), open()];
  const checkIn = encodeMessage(CheckInRequestSchema, { bootId: 'boot', holdMs: 0 });
  // Nothing can be stored while this is held.
  await admin.query('BEGIN');
  await admin.query('LOCK TABLE palisade.flow_batch IN ACCESS EXCLUSIVE MODE');
  const answers: Answer[] = [];
  const sent = Array.from({ length: 30 }, async (_, index) => void answers.push(await post(sessions[index % 2]!, AGENT_ROUTES.flows.path, flowBatch(1))));
  try {
    await vi.waitFor(() => expect(answers).toHaveLength(30 - FLOW_LIMIT), { timeout: 20_000 });
    expect(answers.every(({ status, retryAfter }) => status === 503 && retryAfter >= 1)).toBe(true);
    // On a connection of its own, and on one whose flows wait.
    for (const session of [sessions[2]!, sessions[0]!]) {
      for (let round = 0; round < 20; round += 1) expect(await post(session, AGENT_ROUTES.checkIn.path, checkIn)).toMatchObject({ status: 200 });
    }
    expect(answers).toHaveLength(30 - FLOW_LIMIT);
  } finally {
    await admin.query('ROLLBACK');
  }
  await Promise.all(sent);
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(FLOW_LIMIT);
  for (const session of sessions) session.destroy();
}, 60_000);
