import { randomUUID, webcrypto } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Client, credentials, Metadata, type CallOptions, type ClientReadableStream, type ServiceError } from '@grpc/grpc-js';
import { columnsOf, type FlowEnd, type FlowRecord } from '@palisade/flow';
import { PostgresFlowSink } from '@palisade/flow-store';
import * as x509 from '@peculiar/x509';
import pg from 'pg';
import type { ApiConfig } from '../../config.ts';
import { startApi, type ApiUnderTest, type TestTenant } from '../../testing/api-under-test.ts';
import { GetFlowsRequestSchema, type GetFlowsResponse } from '../generated/observer/observer_pb.ts';
import { HubbleModule } from '../hubble.module.ts';
import { OBSERVER_SERVICE } from '../observer-service.ts';

/** The API with its observer on TLS, and a generic gRPC client that trusts it. */
export interface HubbleUnderTest {
  readonly api: ApiUnderTest;
  readonly tenant: TestTenant;
  readonly client: Client;
  /** Stores one batch, as of one node. */
  store(flows: readonly FlowRecord[], lost?: number, owner?: TestTenant): Promise<void>;
  /** Basic auth as the CLI sends it. */
  basic(user?: string, authorization?: string): Metadata;
  unary<Response>(definition: unknown, request: unknown, metadata?: Metadata, options?: CallOptions): Promise<Response>;
  open(request: MessageInitShape<typeof GetFlowsRequestSchema>, metadata?: Metadata, options?: CallOptions): ClientReadableStream<GetFlowsResponse>;
  /** Until the stream ends or has given `limit` flows. */
  collect(request: MessageInitShape<typeof GetFlowsRequestSchema>, limit?: number, metadata?: Metadata): Promise<GetFlowsResponse[]>;
  close(): Promise<void>;
}

interface Definition {
  readonly path: string;
  readonly requestSerialize: (value: unknown) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => never;
}

/** A server certificate that the client trusts, in the folder the API is told of. */
export async function writeCertificate(folder: string): Promise<Buffer> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=localhost', notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000), keys, signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }])],
  });
  const pem = certificate.toString('pem');
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  writeFileSync(join(folder, 'server.crt'), pem);
  writeFileSync(join(folder, 'server.key'), `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`);
  return Buffer.from(pem);
}

export async function startHubble(settings: Partial<ApiConfig> = {}): Promise<HubbleUnderTest> {
  const folder = mkdtempSync(join(tmpdir(), 'hubble-'));
  const root = await writeCertificate(folder);
  const api = await startApi({ PALISADE_HUBBLE_TLS_DIR: folder, PALISADE_HUBBLE_LISTEN: { host: '127.0.0.1', port: 0 }, ...settings });
  const ingest = new pg.Pool({ connectionString: api.database.ingestUrl, max: 2 });
  const sink = new PostgresFlowSink(ingest);
  const tenant = await api.tenant('acme');
  const client = new Client(`localhost:${api.app.get(HubbleModule).port}`, credentials.createSsl(root));
  const basic = (user = 'acme', authorization = tenant.authorization): Metadata => {
    const metadata = new Metadata();
    metadata.set('authorization', `Basic ${Buffer.from(`${user}:${authorization.replace('Bearer ', '')}`).toString('base64')}`);
    return metadata;
  };
  const open: HubbleUnderTest['open'] = (request, metadata = basic(), options = {}) => {
    const { path, requestSerialize, responseDeserialize } = OBSERVER_SERVICE['GetFlows'] as unknown as Definition;
    return client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, create(GetFlowsRequestSchema, request), metadata, options);
  };
  return {
    api, tenant, client, basic, open,
    async store(flows, lost = 0, owner = tenant) {
      const account = { seen: flows.length + lost, exported: flows.length, sampled: 0, dropped: lost === 0 ? {} : { 'ring-full': lost } };
      const batch = { bootId: randomUUID(), seq: 1, windowStartUs: flows[0]?.lastSeenUs ?? 1, windowEndUs: flows.at(-1)?.lastSeenUs ?? 1, account, columns: columnsOf(flows) };
      await sink.append([{ sender: { tenantId: owner.tenantId, clusterId: randomUUID(), nodeId: randomUUID() }, batch }]);
    },
    unary<Response>(definition: unknown, request: unknown, metadata = basic(), options: CallOptions = {}): Promise<Response> {
      const { path, requestSerialize, responseDeserialize } = definition as Definition;
      return new Promise((done, fail) => {
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, options, (error: ServiceError | null, value?: Response) => (error === null ? done(value as Response) : fail(error)));
      });
    },
    async collect(request, limit = Infinity, metadata = basic()) {
      const stream = open(request, metadata);
      const responses: GetFlowsResponse[] = [];
      try {
        for await (const response of stream) {
          responses.push(response as GetFlowsResponse);
          if (responses.filter(({ responseTypes }) => responseTypes.case === 'flow').length >= limit) break;
        }
      } finally {
        stream.cancel();
      }
      return responses;
    },
    async close() {
      client.close();
      await ingest.end();
      await api.close();
      rmSync(folder, { recursive: true });
    },
  };
}

export const FRONTEND: FlowEnd = { address: '10.1.0.1', port: 40_000, identity: 1001, labels: ['k8s:app=frontend'], namespace: 'shop', workload: 'frontend-a', cluster: 'demo' };
export const BACKEND: FlowEnd = { address: '10.1.0.2', port: 8080, identity: 1002, labels: ['k8s:app=backend'], namespace: 'shop', workload: 'backend-a', cluster: 'demo' };
export const DATABASE: FlowEnd = { address: '10.1.0.3', port: 5432, identity: 1003, labels: ['k8s:app=db'], namespace: 'data', workload: 'db-a', cluster: 'demo' };
export const WORLD: FlowEnd = { address: '2001:db8::1', port: 443, identity: 2, labels: ['reserved:world'], dnsNames: ['api.example.com'] };

/** A flow that was seen at this instant. */
export function flowAt(lastSeenUs: number, over: Partial<FlowRecord> = {}): FlowRecord {
  return {
    event: 'delta', source: FRONTEND, destination: BACKEND, protocol: 6, direction: 'egress', node: 'node-a', interface: 'vethfa', verdict: 'forwarded', policies: [], isReply: false,
    packets: 10, bytes: 1000, replyPackets: 5, replyBytes: 500, firstSeenUs: lastSeenUs, lastSeenUs, tcpFlags: 0x12, generation: '1.1', policyRevision: 1, identityRevision: 1, origin: 'ebpf', weight: 1, ...over,
  };
}
