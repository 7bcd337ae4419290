/** Asks what the stock CLI asks, as its sources build the requests (hubble/cmd/observe). */
import 'reflect-metadata';
import { once } from 'node:events';
import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { WHOLE_TENANT } from '@palisade/tenancy';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withClient } from '../../../../tools/postgres/database.ts';
import { FlowFilterSchema } from './generated/flow/flow_pb.ts';
import { HealthCheckRequestSchema } from './generated/health/health_pb.ts';
import {
  GetFlowsRequestSchema, GetNamespacesRequestSchema, GetNodesRequestSchema, ServerStatusRequestSchema,
  type GetFlowsResponse, type GetNamespacesResponse, type GetNodesResponse, type ServerStatusResponse,
} from './generated/observer/observer_pb.ts';
import { hubbleTime } from './hubble-flow.ts';
import { HEALTH_SERVICE, OBSERVER_SERVICE } from './observer-service.ts';
import { at, CLI_FLAGS, FLOWS, NAMES, nowUs, type Filter, type Name } from './testing/cli-flags.ts';
import { DATABASE, FRONTEND, flowAt, startHubble, type HubbleUnderTest } from './testing/hubble-under-test.ts';

let hubble: HubbleUnderTest;

/** Which of the known flows were given, in order. */
function namesOf(responses: readonly GetFlowsResponse[]): Name[] {
  return responses.flatMap(({ responseTypes, time }) => (responseTypes.case === 'flow' ? NAMES.filter((name) => time?.seconds === BigInt(FLOWS[name].lastSeenUs) / 1_000_000n) : []));
}

const last20 = (whitelist: Filter[], blacklist: Filter[] = []) => hubble.collect({ number: 20n, whitelist, blacklist });

beforeAll(async () => {
  // Agents keep a week of partitions only from the day they begin.
  hubble = await startHubble({ PALISADE_HUBBLE_READMIT_MS: 500 });
  await withClient(hubble.api.database.adminUrl, (client) => client.query('SELECT palisade.flow_ensure_partitions(current_date - 7, current_date)'));
  await hubble.store(Object.values(FLOWS), 3);
  await hubble.store([at(4)], 0, await hubble.api.tenant('globex'));
});

afterAll(() => hubble.close());

describe('hubble observe', () => {
  it('without flags gives the last twenty, of however long ago', async () => {
    expect(namesOf(await last20([]))).toEqual(NAMES);
  });

  it('--all gives everything, --first the earliest, --last the latest, oldest first', async () => {
    expect(namesOf(await hubble.collect({ number: 2n ** 64n - 1n }))).toEqual(NAMES);
    expect(namesOf(await hubble.collect({ number: 2n, first: true }))).toEqual(['days', 'dropped']);
    expect(namesOf(await hubble.collect({ number: 2n }))).toEqual(['ping', 'verdict']);
    expect(namesOf(await hubble.collect({ until: hubbleTime(nowUs - 7_500_000) }))).toEqual(['days', 'dropped', 'http']);
  });

  it('--since and --until bound what --first and --last count', async () => {
    const [since, until] = [hubbleTime(nowUs - 8_500_000), hubbleTime(nowUs - 5_500_000)];
    expect(namesOf(await hubble.collect({ since }))).toEqual(['http', 'dns', 'ping', 'verdict']);
    expect(namesOf(await hubble.collect({ since, until }))).toEqual(['http', 'dns', 'ping']);
    expect(namesOf(await hubble.collect({ since, until, number: 1n }))).toEqual(['ping']);
    expect(namesOf(await hubble.collect({ since, number: 2n, first: true }))).toEqual(['http', 'dns']);
  });

  it('--allowlist and --denylist together leave out what both match', async () => {
    expect(namesOf(await last20([{ destinationPod: ['shop/backend'] }], [{ protocol: ['icmp'] }, { httpStatusCode: ['5+'] }]))).toEqual(['days', 'verdict']);
  });

  it('--uuid finds the one flow, and none for an id that nothing has', async () => {
    const [flow] = (await last20([{ verdict: [2] }])).flatMap(({ responseTypes }) => (responseTypes.case === 'flow' ? [responseTypes.value] : []));
    expect(namesOf(await last20([{ uuid: [flow?.uuid ?? ''] }]))).toEqual(['dropped']);
    expect(namesOf(await last20([{ uuid: ['00000000-0000-0000-0000-000000000000'] }]))).toEqual([]);
  });

  it.each(CLI_FLAGS)('%s', async (_, filters, expected) => {
    expect(namesOf(await last20(filters))).toEqual(expected);
  });

  it.each(CLI_FLAGS)('--not %s', async (_, filters, expected) => {
    expect(namesOf(await last20([], filters))).toEqual(NAMES.filter((name) => !expected.includes(name)));
  });

  it('with the default field mask of its tables and lines fills what they print', async () => {
    const paths = ['time', 'source.identity', 'source.namespace', 'source.pod_name', 'destination.identity', 'destination.namespace', 'destination.pod_name', 'source_service', 'destination_service', 'l4', 'IP', 'ethernet', 'l7', 'Type', 'node_name', 'is_reply', 'event_type', 'verdict', 'Summary'];
    const responses = await hubble.collect({ number: 20n, whitelist: [{ protocol: ['http'] }], experimental: { fieldMask: { paths } } });
    expect(responses.at(-1)?.responseTypes.value).toMatchObject({
      verdict: 1, Type: 2, nodeName: 'demo/node-a', isReply: false, eventType: { type: 129 }, Summary: 'HTTP GET /cart/7 503', source: { podName: 'frontend-a', labels: [] }, uuid: '',
      l7: { type: 2, latencyNs: 900_000n, record: { case: 'http', value: { code: 503, method: 'GET', url: '/cart/7' } } },
    });
  });

  it('fills a DNS flow, and one that a policy decided', async () => {
    const [dns, verdict] = (await last20([{ protocol: ['dns'] }, { eventType: [{ type: 5 }] }])).filter(({ responseTypes }) => responseTypes.case === 'flow').map(({ responseTypes }) => responseTypes.value);
    expect(dns).toMatchObject({ l7: { record: { value: { query: 'api.example.com', ips: ['2001:db8::1'], rcode: 0, qtypes: ['AAAA'], rrtypes: ['AAAA'] } } }, destinationNames: ['api.example.com'] });
    expect(verdict).toMatchObject({ ingressAllowedBy: [{ name: 'open', namespace: 'shop', kind: 'CiliumNetworkPolicy' }], egressAllowedBy: [], trafficDirection: 1, policyMatchType: 4 });
  });

  it.each([
    ['a broken CEL expression', { experimental: { celExpression: ['_flow.verdict =='] } }], ['a kind of workload', { sourceWorkload: [{ name: 'frontend', kind: 'Deployment' }] }],
    ['the number of an interface', { interface: [{ index: 3 }] }], ['an unknown protocol', { protocol: ['tpc'] }], ['a broken status', { httpStatusCode: ['9xx'] }],
    ['a status of events that have none', { httpStatusCode: ['404'], eventType: [{ type: 1 }] }], ['an empty pod', { sourcePod: [''] }], ['an empty cluster', { sourceClusterName: [''] }],
    ['a broken DNS name', { destinationFqdn: ['exa mple'] }], ['a node with too many parts', { nodeName: ['a/b/c'] }],
  ])('refuses %s with a sentence', async (_, filter) => {
    await expect(last20([filter])).rejects.toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringMatching(/\w+ \w+/) });
  });

  it('refuses a filter of a newer client rather than leave it out', async () => {
    const filter = create(FlowFilterSchema, { verdict: [2] });
    // Field 1234, a varint: what a later version may send.
    filter.$unknown = [{ no: 1234, wireType: 0, data: new Uint8Array([1]) }];
    expect(toBinary(FlowFilterSchema, filter).length).toBeGreaterThan(2);
    await expect(hubble.collect({ number: 1n, whitelist: [filter] })).rejects.toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining('1234') });
  });

  it('refuses a field of a newer client inside a filter, and beside the filters', async () => {
    const unknown = [{ no: 77, wireType: 0, data: new Uint8Array([1]) }];
    const inside = create(FlowFilterSchema, { eventType: [{ type: 4 }] });
    for (const one of inside.eventType) one.$unknown = unknown;
    await expect(last20([inside])).rejects.toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining('77') });
    const beside = create(GetFlowsRequestSchema, { number: 1n });
    beside.$unknown = unknown;
    await expect(hubble.collect(beside)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT, details: expect.stringContaining('77') });
  });

  it('gives many last flows in order, with the beginning found by counting', async () => {
    const other = await hubble.api.tenant('initech');
    const start = nowUs - 3_000_000_000;
    for (let batch = 0; batch < 3; batch++) await hubble.store(Array.from({ length: 2_500 }, (_, index) => flowAt(start + batch * 2_500 + index)), 0, other);
    const times = (await hubble.collect({ number: 6_000n }, Infinity, hubble.basic('initech', other.authorization))).flatMap(({ responseTypes, time }) => (responseTypes.case === 'flow' ? [Number(time?.seconds) * 1e6 + (time?.nanos ?? 0) / 1000] : []));
    expect(times).toEqual(Array.from({ length: 6_000 }, (_, index) => start + 1_500 + index));
  });

  it('goes on for a reader that stops for a while, and loses nothing meanwhile', async () => {
    const other = await hubble.api.tenant('hooli');
    const big = { ...FRONTEND, labels: Array.from({ length: 60 }, (_, index) => `k8s:label-${index}=${'x'.repeat(60)}`) };
    for (let batch = 0; batch < 2; batch++) await hubble.store(Array.from({ length: 2_000 }, (_, index) => flowAt(nowUs - 60_000_000 + batch * 2_000 + index, { source: big })), 0, other);
    const stream = hubble.open({ number: 4_000n }, hubble.basic('hooli', other.authorization));
    let count = 0;
    for await (const response of stream) {
      if ((response as GetFlowsResponse).responseTypes.case === 'flow' && ++count % 1_000 === 0) {
        // Not read for several turns of both sides: 15 MB are far more than the connection's window holds.
        for (let turn = 0; turn < 50; turn++) await new Promise((done) => setImmediate(done));
      }
    }
    expect(count).toBe(4_000);
  });
});

describe('hubble observe --follow', () => {
  it('with --since tells what was, then what comes', async () => {
    const later = at(-1, { verdict: 'dropped', event: 'dropped', dropReason: 'policy-denied' });
    const stream = hubble.open({ follow: true, since: hubbleTime(nowUs - 60_000_000), whitelist: [{ verdict: [2] }] });
    const seen: bigint[] = [];
    for await (const response of stream) {
      const { responseTypes, time } = response as GetFlowsResponse;
      if (responseTypes.case !== 'flow') continue;
      seen.push(time?.seconds ?? 0n);
      if (seen.length === 1) await hubble.store([later, at(-1)]);
      if (seen.length === 2) break;
    }
    stream.cancel();
    expect(seen).toEqual([FLOWS.dropped, later].map(({ lastSeenUs }) => BigInt(lastSeenUs) / 1_000_000n));
  });

  it('ends with its deadline', async () => {
    const stream = hubble.open({ follow: true }, undefined, { deadline: Date.now() + 300 });
    stream.resume();
    const [error] = await once(stream, 'error') as [{ code: number }];
    expect(error.code).toBe(status.DEADLINE_EXCEEDED);
  });

  it('ends when its token is revoked', async () => {
    const authorization = await hubble.api.token(hubble.tenant.tenantId, ['viewer']);
    const stream = hubble.open({ follow: true }, hubble.basic('acme', authorization));
    stream.resume();
    const failed = once(stream, 'error') as Promise<[{ code: number }]>;
    const [, publicId = ''] = /pal_([^.]+)\./.exec(authorization) ?? [];
    await withClient(hubble.api.database.adminUrl, (client) => client.query('UPDATE palisade.api_tokens SET revoked_at = now() WHERE public_id = $1', [publicId]));
    expect((await failed)[0].code).toBe(status.UNAUTHENTICATED);
  });

  it('is open so many times for a tenant and no more, and a stream that ends makes room', async () => {
    const other = await hubble.api.tenant('umbrella');
    await hubble.store([at(1)], 0, other);
    const mine = hubble.basic('umbrella', other.authorization);
    const streams = Array.from({ length: 20 }, () => hubble.open({ follow: true, number: 1n }, mine));
    const quiet = (): void => undefined;
    for (const stream of streams) stream.on('error', quiet);
    await Promise.all(streams.map((stream) => once(stream, 'data')));
    await expect(hubble.collect({ number: 1n }, Infinity, mine)).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    expect((await hubble.collect({ number: 1n })).at(-1)?.responseTypes.case).toBe('flow');
    for (const stream of streams) stream.cancel();
    await expect.poll(() => hubble.collect({ number: 1n }, Infinity, mine).then((responses) => responses.length, () => 0)).toBe(1);
  });
});

describe('hubble status, list nodes, list namespaces, watch', () => {
  it('health of the observer, of the server, and of what is not here', async () => {
    const check = (service: string) => hubble.unary(HEALTH_SERVICE['Check'], create(HealthCheckRequestSchema, { service }), hubble.basic());
    expect(await check('hubble.server.Observer')).toMatchObject({ status: 1 });
    expect(await check('')).toMatchObject({ status: 1 });
    await expect(check('nothing')).rejects.toMatchObject({ code: status.NOT_FOUND });
  });

  it.each(['GetAgentEvents', 'GetDebugEvents'])('%s is not implemented, as in relay, and says so to whoever may ask', async (name) => {
    const method = { ...OBSERVER_SERVICE['ServerStatus'], path: `/observer.Observer/${name}` };
    await expect(hubble.unary(method, create(ServerStatusRequestSchema))).rejects.toMatchObject({ code: status.UNIMPLEMENTED, details: expect.stringContaining('events are not kept') });
    await expect(hubble.unary(method, create(ServerStatusRequestSchema), hubble.basic('acme', 'Bearer pal_nobody.x'))).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
  });

  it('list nodes divides the flows of a node by the time in which it reported them', async () => {
    const { nodes } = await hubble.unary<GetNodesResponse>(OBSERVER_SERVICE['GetNodes'], create(GetNodesRequestSchema));
    // The batch began five days ago: an hour is counted.
    expect(nodes.some(({ uptimeNs }) => uptimeNs === 3_600_000_000_000n)).toBe(true);
    expect(nodes.every(({ uptimeNs }) => uptimeNs > 0n && uptimeNs <= 3_600_000_000_000n)).toBe(true);
  });

  it('answers within the deadline of the CLI or not at all', async () => {
    await expect(hubble.unary(OBSERVER_SERVICE['ServerStatus'], create(ServerStatusRequestSchema), hubble.basic(), { deadline: Date.now() - 1 })).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
  });
});

describe('a team that is bound to a namespace', () => {
  let team: () => ReturnType<HubbleUnderTest['basic']>;
  beforeAll(async () => {
    const authorization = await hubble.api.token(hubble.tenant.tenantId, ['app-team'], { ...WHOLE_TENANT, namespaces: ['data'] });
    team = () => hubble.basic('acme', authorization);
  });

  it('sees only flows with an end in it, whatever it asks for', async () => {
    for (const request of [{ number: 20n }, { number: 2n ** 64n - 1n }, { number: 20n, first: true }, { number: 20n, whitelist: [{ sourcePod: ['shop/'] }] }, { since: hubbleTime(nowUs - 60_000_000) }] satisfies MessageInitShape<typeof GetFlowsRequestSchema>[]) {
      const flows = (await hubble.collect(request, Infinity, team())).flatMap(({ responseTypes }) => (responseTypes.case === 'flow' ? [responseTypes.value] : []));
      expect(flows.length).toBeGreaterThan(0);
      expect(flows.every(({ source, destination }) => source?.namespace === 'data' || destination?.namespace === 'data')).toBe(true);
    }
  });

  it('follows only those', async () => {
    const stream = hubble.open({ follow: true, number: 1n }, team());
    const seen: (string | undefined)[] = [];
    for await (const response of stream) {
      const { responseTypes } = response as GetFlowsResponse;
      if (responseTypes.case !== 'flow') continue;
      seen.push(responseTypes.value.destination?.podName);
      if (seen.length === 1) await hubble.store([at(0), at(0, { destination: { ...DATABASE, workload: 'db-late' } })]);
      if (seen.length === 2) break;
    }
    stream.cancel();
    expect(seen[1]).toBe('db-late');
  });

  it('is told of its own namespace, and of no flows of others by any count', async () => {
    expect((await hubble.unary<GetNamespacesResponse>(OBSERVER_SERVICE['GetNamespaces'], create(GetNamespacesRequestSchema), team())).namespaces).toMatchObject([{ namespace: 'data' }]);
    const { nodes } = await hubble.unary<GetNodesResponse>(OBSERVER_SERVICE['GetNodes'], create(GetNodesRequestSchema), team());
    expect(nodes.length).toBeGreaterThan(0);
    expect(nodes.every(({ numFlows, seenFlows }) => numFlows === 0n && seenFlows === 0n)).toBe(true);
    const [all, own] = await Promise.all([hubble.basic(), team()].map((metadata) => hubble.unary<ServerStatusResponse>(OBSERVER_SERVICE['ServerStatus'], create(ServerStatusRequestSchema), metadata)));
    expect(own?.seenFlows).toBeGreaterThan(0n);
    expect(own?.seenFlows).toBeLessThan(all?.seenFlows ?? 0n);
  });
});
