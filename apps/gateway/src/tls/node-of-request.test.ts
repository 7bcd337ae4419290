import 'reflect-metadata';
import { connect } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { createLogger } from '@palisade/nest-kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConnectionAdmission } from '../admission/connection-admission.ts';
import { StreamAdmission } from '../admission/stream-admission.ts';
import { agentListener } from '../agent-listener.ts';
import { createTestAuthority, type TestAuthority } from '../flows/testing/node-certificates.ts';
import { nodeOfSession } from './node-of-request.ts';
import { tlsOptions } from './tls-material.ts';

let authority: TestAuthority;
beforeAll(async () => {
  authority = await createTestAuthority();
});
afterAll(() => authority.remove());

const ID = '0198f000-0000-7000-8000-000000000001';

describe('a connection', () => {
  it('ends with the certificate it was made with, though nobody asks anything on it', async () => {
    const streams = new StreamAdmission(100, createLogger('test', 'fatal'));
    const server = agentListener({
      tls: tlsOptions(authority.folder),
      connections: 10,
      admission: new ConnectionAdmission({ handshakes: 4, waiting: 10, patienceMs: 10_000 }),
      streams: { flows: streams, requests: streams, downloads: streams },
      onRequest: (request, response) => void response.end(nodeOfSession(request.stream.session!, Date.now()).nodeId),
      onCheckIn: () => undefined,
      onConnections: () => undefined,
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const endsMs = Date.now() + 3_000;
    const { cert, key } = await authority.issue({ tenantId: ID, clusterId: ID, nodeId: ID }, new Date(endsMs));
    const session = connect(`https://localhost:${(server.address() as AddressInfo).port}`, { ca: authority.gatewayCa, cert, key });
    const answer = await new Promise<string>((resolve, reject) => {
      const stream = session.request({ ':path': '/' });
      let body = '';
      stream.on('data', (chunk: Buffer) => (body += chunk.toString()));
      stream.once('end', () => resolve(body));
      stream.once('error', reject);
    });
    expect(answer).toBe(ID);
    expect(session.closed).toBe(false);
    await new Promise((resolve) => session.once('close', resolve));
    // Certificates name whole seconds.
    expect(Date.now()).toBeGreaterThanOrEqual(endsMs - 1_000);
    server.close();
  });
});
