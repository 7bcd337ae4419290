import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { columnsOf, type FlowAccount, type FlowEnd, type FlowRecord } from '@palisade/flow';
import { PostgresFlowSink } from '@palisade/flow-store';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApi, type ApiUnderTest, type TestTenant } from '../testing/api-under-test.ts';
import type { FlowFilterSchema } from './generated/flow/flow_pb.ts';
import {
  GetFlowsRequestSchema, GetNamespacesRequestSchema, GetNodesRequestSchema, ServerStatusRequestSchema,
  type GetFlowsResponse, type GetNamespacesResponse, type GetNodesResponse, type ServerStatusResponse,
} from './generated/observer/observer_pb.ts';
import { HealthCheckRequestSchema, type HealthCheckResponse } from './generated/health/health_pb.ts';
import { hubbleTime } from './hubble-flow.ts';
import { HubbleModule } from './hubble.module.ts';
import { HEALTH_SERVICE, OBSERVER_SERVICE } from './observer-service.ts';
import { writeCertificate } from './testing/hubble-under-test.ts';

const FRONTEND: FlowEnd = { address: '10.1.0.1', port: 40_000, identity: 1001, labels: ['k8s:app=frontend'], namespace: 'shop', workload: 'frontend-a', cluster: 'demo' };
const BACKEND: FlowEnd = { address: '10.1.0.2', port: 8080, identity: 1002, labels: ['k8s:app=backend'], namespace: 'shop', workload: 'backend-a', cluster: 'demo' };
const WORLD: FlowEnd = { address: '2001:db8::1', port: 443, identity: 2, labels: ['reserved:world'], dnsNames: ['api.example.com'] };
const nowUs = Math.floor(Date.now() / 1000) * 1_000_000;

function flow(ago: number, over: Partial<FlowRecord> = {}): FlowRecord {
  const lastSeenUs = nowUs - ago * 1_000_000;
  return {
    event: 'delta', source: FRONTEND, destination: BACKEND, protocol: 6, direction: 'egress', node: 'node-a', interface: 'vethfa', verdict: 'forwarded', policies: [], isReply: false,
    packets: 10, bytes: 1000, replyPackets: 5, replyBytes: 500, firstSeenUs: lastSeenUs, lastSeenUs, tcpFlags: 0x12, generation: '1.1', policyRevision: 1, identityRevision: 1, origin: 'ebpf', weight: 1, ...over,
  };
}

/** Oldest first; named by what they are, so that a test can say which it expects. */
const FLOWS = {
  dropped: flow(9, { event: 'dropped', verdict: 'dropped', dropReason: 'policy-denied', policies: [{ kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'lock', revision: 4, direction: 'egress' }], tcpFlags: 0x02 }),
  http: flow(8, { event: 'l7', http: { method: 'GET', path: '/cart/7', status: 503, latencyUs: 900 } }),
  dns: flow(7, { event: 'dns', protocol: 17, destination: { ...WORLD, port: 53 }, dns: { query: 'api.example.com', addresses: ['2001:db8::1'], rcode: 0 } }),
  world: flow(6, { source: WORLD, destination: { ...FRONTEND, address: '2001:db8::2', port: 443 }, direction: 'ingress', node: 'node-b', isReply: true }),
  plain: flow(5),
} satisfies Record<string, FlowRecord>;
type Name = keyof typeof FLOWS;
const NAMES = Object.keys(FLOWS) as Name[];

let api: ApiUnderTest;
let ingest: pg.Pool;
let sink: PostgresFlowSink;
let tenant: TestTenant;
let folder: string;
let client: Client;

async function store(flows: readonly FlowRecord[], account: Partial<FlowAccount> = {}, owner = tenant): Promise<void> {
  const balance = { seen: flows.length, exported: flows.length, sampled: 0, dropped: {}, ...account };
  await sink.append([{ sender: { tenantId: owner.tenantId, clusterId: randomUUID(), nodeId: randomUUID() }, batch: { bootId: randomUUID(), seq: 1, windowStartUs: nowUs, windowEndUs: nowUs, account: balance, columns: columnsOf(flows) } }]);
}

function basic(user: string, authorization: string): Metadata {
  const metadata = new Metadata();
  metadata.set('authorization', `Basic ${Buffer.from(`${user}:${authorization.replace('Bearer ', '')}`).toString('base64')}`);
  return metadata;
}

const mine = (): Metadata => basic('acme', tenant.authorization);

function unary<Response>(definition: { path: string } & Record<string, unknown>, request: unknown, metadata = mine()): Promise<Response> {
  const { path, requestSerialize, responseDeserialize } = definition as never as { path: string; requestSerialize: (value: unknown) => Buffer; responseDeserialize: (bytes: Buffer) => Response };
  return new Promise((done, fail) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, (error: ServiceError | null, value?: Response) => (error === null ? done(value as Response) : fail(error)));
  });
}

const call = <Response>(name: string, request: unknown, metadata?: Metadata): Promise<Response> => unary<Response>(OBSERVER_SERVICE[name] as never, request, metadata);

/** Reads a flow stream until it ends or has given `limit` flows. */
async function stream(request: MessageInitShape<typeof GetFlowsRequestSchema>, limit = Infinity, ready?: () => Promise<void>): Promise<GetFlowsResponse[]> {
  const definition = OBSERVER_SERVICE['GetFlows'] as never as { path: string; requestSerialize: (value: unknown) => Buffer; responseDeserialize: (bytes: Buffer) => GetFlowsResponse };
  const started = client.makeServerStreamRequest(definition.path, definition.requestSerialize, definition.responseDeserialize, create(GetFlowsRequestSchema, request), mine());
  const responses: GetFlowsResponse[] = [];
  try {
    for await (const response of started) {
      responses.push(response as GetFlowsResponse);
      // What was is told first: the following has begun.
      if (responses.length === 1) await ready?.();
      if (responses.filter(({ responseTypes }) => responseTypes.case === 'flow').length >= limit) break;
    }
  } finally {
    started.cancel();
  }
  return responses;
}

/** Which of the known flows were given, in order. */
function namesOf(responses: readonly GetFlowsResponse[]): Name[] {
  return responses.flatMap(({ responseTypes, time }) => {
    if (responseTypes.case !== 'flow') return [];
    return NAMES.filter((name) => time?.seconds === BigInt(FLOWS[name].lastSeenUs) / 1_000_000n);
  });
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'hubble-'));
  const root = await writeCertificate(folder);
  api = await startApi({ PALISADE_HUBBLE_TLS_DIR: folder, PALISADE_HUBBLE_LISTEN: { host: '127.0.0.1', port: 0 } });
  ingest = new pg.Pool({ connectionString: api.database.ingestUrl, max: 2 });
  sink = new PostgresFlowSink(ingest);
  tenant = await api.tenant('acme');
  const port = api.app.get(HubbleModule).port;
  client = new Client(`localhost:${port}`, credentials.createSsl(root));
  await store(Object.values(FLOWS), { seen: 9, dropped: { 'ring-full': 3, evicted: 1 } });
  await store([flow(4)], {}, await api.tenant('globex'));
});

afterAll(async () => {
  client.close();
  await ingest.end();
  await api.close();
  rmSync(folder, { recursive: true });
});

describe('the observer API', () => {
  it('gives the last flows, oldest of them first, and says what was lost', async () => {
    const responses = await stream({ number: 3n });
    expect(namesOf(responses)).toEqual(['dns', 'world', 'plain']);
    expect(responses.filter(({ responseTypes }) => responseTypes.case === 'lostEvents').map(({ responseTypes }) => responseTypes.value)).toMatchObject([
      { source: 1, numEventsLost: 3n }, { source: 2, numEventsLost: 1n },
    ]);
  });

  it('gives the first flows, and those of a window', async () => {
    expect(namesOf(await stream({ number: 2n, first: true }))).toEqual(['dropped', 'http']);
    expect(namesOf(await stream({ since: hubbleTime(FLOWS.http.lastSeenUs), until: hubbleTime(FLOWS.world.lastSeenUs) }))).toEqual(['http', 'dns']);
  });

  it('fills a flow as Hubble does', async () => {
    const [, , first] = await stream({ number: 1n, first: true });
    expect(first?.nodeName).toBe('demo/node-a');
    expect(first?.responseTypes.value).toMatchObject({
      verdict: 2, dropReason: 133, dropReasonDesc: 133, Type: 1, trafficDirection: 2, isReply: false, nodeName: 'demo/node-a',
      IP: { source: '10.1.0.1', destination: '10.1.0.2', ipVersion: 1 }, l4: { protocol: { case: 'TCP', value: { destinationPort: 8080, flags: { SYN: true, ACK: false } } } },
      source: { identity: 1001, namespace: 'shop', podName: 'frontend-a', labels: ['k8s:app=frontend'], clusterName: 'demo' }, eventType: { type: 1, subType: 133 },
      egressDeniedBy: [{ name: 'lock', namespace: 'shop', kind: 'CiliumNetworkPolicy', revision: 4n }], egressAllowedBy: [], interface: { name: 'vethfa' },
    });
  });

  const FILTERS: readonly (readonly [string, MessageInitShape<typeof FlowFilterSchema>, Name[]])[] = [
    ['verdict', { verdict: [2] }, ['dropped']],
    ['source IP', { sourceIp: ['2001:db8::/32'] }, ['world']],
    ['destination IP', { destinationIp: ['10.1.0.2'] }, ['dropped', 'http', 'plain']],
    ['source pod', { sourcePod: ['shop/front'] }, ['dropped', 'http', 'dns', 'plain']],
    ['namespace', { destinationPod: ['shop/'] }, ['dropped', 'http', 'world', 'plain']],
    ['source name', { sourceFqdn: ['*.example.com'] }, ['world']],
    ['destination name', { destinationFqdn: ['api.example.com.'] }, ['dns']],
    ['label', { destinationLabel: ['k8s:app in (backend)'] }, ['dropped', 'http', 'plain']],
    ['identity', { sourceIdentity: [2] }, ['world']],
    ['destination identity', { destinationIdentity: [2] }, ['dns']],
    ['workload', { sourceWorkload: [{ name: 'frontend' }] }, ['dropped', 'http', 'dns', 'plain']],
    ['destination port', { destinationPort: ['53'] }, ['dns']],
    ['source port range', { sourcePort: ['400-500'] }, ['world']],
    ['layer 4 protocol', { protocol: ['udp'] }, ['dns']],
    ['layer 7 protocol', { protocol: ['http'] }, ['http']],
    ['direction', { trafficDirection: [1] }, ['world']],
    ['reply', { reply: [true] }, ['world']],
    ['status', { httpStatusCode: ['5+'] }, ['http']],
    ['method', { httpMethod: ['get'] }, ['http']],
    ['path expression', { httpPath: ['^/cart/[0-9]+$'] }, ['http']],
    ['query expression', { dnsQuery: ['exam.*com'] }, ['dns']],
    ['drop reason', { dropReasonDesc: [133] }, ['dropped']],
    ['event type', { eventType: [{ type: 129 }] }, ['http', 'dns']],
    ['event subtype', { eventType: [{ type: 1, matchSubType: true, subType: 133 }] }, ['dropped']],
    ['TCP flags', { tcpFlags: [{ SYN: true, ACK: true }] }, ['http', 'world', 'plain']],
    ['node', { nodeName: ['demo/node-b'] }, ['world']],
    ['node pattern', { nodeName: ['node-*'] }, NAMES],
    ['cluster', { nodeName: ['demo/'] }, NAMES],
    ['cluster name of an end', { destinationClusterName: ['demo'] }, ['dropped', 'http', 'world', 'plain']],
    ['IP version', { ipVersion: [2] }, ['world']],
    ['interface', { interface: [{ name: 'other' }] }, []],
    ['encryption', { encrypted: [true] }, []],
    ['a service, which flows do not name', { sourceService: ['shop/frontend'] }, []],
    ['several fields', { sourcePod: ['shop/'], protocol: ['tcp'], verdict: [1] }, ['http', 'plain']],
  ];

  it.each(FILTERS)('filters by %s, as allow and as deny list', async (_, filter, expected) => {
    const since = hubbleTime(nowUs - 60_000_000);
    expect(namesOf(await stream({ since, whitelist: [filter] }))).toEqual(expected);
    expect(namesOf(await stream({ since, blacklist: [filter] }))).toEqual(NAMES.filter((name) => !expected.includes(name)));
  });

  it('takes alternatives from the allow list and removes what the deny list matches', async () => {
    const responses = await stream({ since: hubbleTime(nowUs - 60_000_000), whitelist: [{ verdict: [2] }, { protocol: ['tcp'] }], blacklist: [{ reply: [true] }, { httpMethod: ['GET'] }] });
    expect(namesOf(responses)).toEqual(['dropped', 'plain']);
  });

  it('finds one flow by its id', async () => {
    const [, , one] = await stream({ number: 1n, first: true });
    const uuid = one?.responseTypes.case === 'flow' ? one.responseTypes.value.uuid : '';
    expect(namesOf(await stream({ number: 5n, whitelist: [{ uuid: [uuid] }] }))).toEqual(['dropped']);
  });

  it('gives only the fields of the mask, passing over those it does not know', async () => {
    const responses = await stream({ number: 1n, fieldMask: { paths: ['verdict', 'source.pod_name', 'ethernet.source'] } });
    const value = responses.at(-1)?.responseTypes.value;
    expect(value).toMatchObject({ verdict: 1, source: { podName: 'frontend-a', namespace: '' }, nodeName: '' });
    expect((value as { destination?: unknown }).destination).toBeUndefined();
  });

  it('follows: what was, then what comes, each once', async () => {
    const later = flow(-1, { verdict: 'dropped', event: 'dropped', dropReason: 'policy-denied' });
    const responses = await stream({ number: 1n, follow: true, whitelist: [{ verdict: [2] }] }, 2, () => store([later, flow(-1)]));
    const flows = responses.filter(({ responseTypes }) => responseTypes.case === 'flow');
    expect(flows.map(({ time }) => time?.seconds)).toEqual([BigInt(FLOWS.dropped.lastSeenUs) / 1_000_000n, BigInt(later.lastSeenUs) / 1_000_000n]);
  });

  it('tells nodes, namespaces, status and health', async () => {
    const { nodes } = await call<GetNodesResponse>('GetNodes', create(GetNodesRequestSchema));
    expect(nodes.map(({ name, state }) => [name, state])).toContainEqual(['node-a', 1]);
    const { namespaces } = await call<GetNamespacesResponse>('GetNamespaces', create(GetNamespacesRequestSchema));
    expect(namespaces).toMatchObject([{ cluster: 'demo', namespace: 'shop' }]);
    const answer = await call<ServerStatusResponse>('ServerStatus', create(ServerStatusRequestSchema));
    expect(answer).toMatchObject({ numUnavailableNodes: 0, version: 'palisade-0.1.0' });
    expect(answer.seenFlows).toBeGreaterThanOrEqual(9n);
    expect(await unary<HealthCheckResponse>(HEALTH_SERVICE['Check'] as never, create(HealthCheckRequestSchema, { service: 'hubble.server.Observer' }))).toMatchObject({ status: 1 });
  });

  it.each([
    ['no credentials', () => new Metadata()],
    ['a wrong password', () => basic('acme', 'Bearer pal_abc.def')],
    ['the name of another tenant', () => basic('globex', tenant.authorization)],
  ])('refuses %s', async (_, metadata) => {
    await expect(call('ServerStatus', create(ServerStatusRequestSchema), metadata())).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
  });

  it('takes the tenant id for the user as well, and the token as bearer', async () => {
    const bearer = new Metadata();
    bearer.set('authorization', tenant.authorization);
    await expect(call('ServerStatus', create(ServerStatusRequestSchema), basic(tenant.tenantId, tenant.authorization))).resolves.toBeDefined();
    await expect(call('ServerStatus', create(ServerStatusRequestSchema), bearer)).resolves.toBeDefined();
  });

  it.each([
    ['a broken CIDR', { sourceIp: ['10.0.0.0/99'] }], ['a broken expression', { httpPath: ['('] }], ['a broken port', { sourcePort: ['http'] }], ['a broken selector', { sourceLabel: ['a in b'] }],
  ])('refuses %s', async (_, filter) => {
    await expect(stream({ number: 1n, whitelist: [filter] })).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });
});
