import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { constants } from 'node:http2';
import { connect as connectHttp2 } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { EMPTY_ACCOUNT, FlowBatchBuilder } from '@palisade/flow';
import { AGENT_ROUTES, encodeFlowBatch, maxMessageBytes, CheckInRequestSchema, PROTOBUF_CONTENT_TYPE } from '@palisade/protocol';
import { startControlPlane, type ControlPlane } from '../../tools/stack/control-plane.ts';
import { StateFolder } from '../../tools/stack/state-folder.ts';
import { AgentConnection } from './agent-connection.ts';
import { ApiClient } from './api-client.ts';
import { Fleet } from './fleet.ts';
import type { SimulatedAgentOptions } from './simulated-agent.ts';

// Real processes of what was built (`./dev build`), ended by SIGKILL.
const EMPTY_BATCH = encodeFlowBatch({ bootId: '00000000-0000-4000-8000-000000000001', seq: 1, windowStartUs: 0, windowEndUs: 0, account: EMPTY_ACCOUNT, columns: new FlowBatchBuilder(1).finish() });
const PATIENCE = { timeout: 90_000, interval: 100 };
let plane: ControlPlane;
let api: ApiClient;
let dir: string;
let gateway: { url: string; ca: string };
const fleets: Fleet[] = [];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'palisade-faults-'));
  plane = await startControlPlane({ state: new StateFolder(dir), gatewayAddress: '127.0.0.1', anyPorts: true, progress: () => undefined, onUnexpectedEnd: () => undefined });
  api = new ApiClient(plane.apiUrl, readFileSync(plane.ownerTokenFile, 'utf8').trim());
  gateway = { url: plane.gatewayUrl, ca: readFileSync(join(dir, 'keys/root/gateway-ca.crt'), 'utf8') };
}, 180_000);
afterAll(async () => {
  for (const fleet of fleets) fleet.stop();
  await plane?.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

let clusters = 0;
async function fleetOf(count: number, options: (index: number) => Omit<SimulatedAgentOptions, 'gateway' | 'name'> = () => ({})): Promise<{ fleet: Fleet; clusterId: string }> {
  const { id } = await api.createCluster(`faults-${(clusters += 1)}`);
  const fleet = new Fleet(gateway, count, options);
  fleets.push(fleet);
  await fleet.enroll(await api.enrollmentToken(id, count));
  await fleet.start();
  return { fleet, clusterId: id };
}

describe('fault 4: a revoked node', () => {
  it('is refused at its next check-in, on the connection it has', async () => {
    const { fleet, clusterId } = await fleetOf(1);
    const agent = fleet.agents[0]!;
    const connection = await agent.connect();
    await agent.checkIn(connection, 0);
    await api.call('DELETE', `/v1/clusters/${clusterId}/nodes/${agent.nodeId}`);
    await expect(agent.checkIn(connection, 0)).rejects.toMatchObject({ status: 403, code: 'auth.forbidden' });
    connection.close();
  }, 60_000);

  it('downloads nothing more and brings no flows, though it never checks in again', async () => {
    const { fleet, clusterId } = await fleetOf(1);
    const agent = fleet.agents[0]!;
    const connection = await agent.connect();
    const brings = (): Promise<unknown> => connection.send('POST', AGENT_ROUTES.flows.path, EMPTY_BATCH, 5_000);
    const downloads = ['/agent/v1/metadata/timestamp', `/agent/v1/manifests/${'0'.repeat(64)}`, `/agent/v1/blobs/${'0'.repeat(64)}`, AGENT_ROUTES.identities.path];
    await connection.get(downloads[0]!);
    await brings();
    await api.call('DELETE', `/v1/clusters/${clusterId}/nodes/${agent.nodeId}`);
    const refused = { status: 403, code: 'auth.forbidden' };
    await vi.waitFor(() => expect(connection.get(downloads[0]!)).rejects.toMatchObject(refused), PATIENCE);
    for (const path of downloads) await expect(connection.get(path)).rejects.toMatchObject(refused);
    await expect(brings()).rejects.toMatchObject(refused);
    // Still the way to trust: it is nobody's secret.
    await connection.get('/agent/v1/metadata/root?version=1');
    connection.close();
  }, 60_000);
});

describe('fault 14: kill -9 of the worker', () => {
  it('again and again during a rollout delays it and changes nothing else', async () => {
    const offers = new Map<string, number>();
    const { fleet, clusterId } = await fleetOf(8, () => ({ onOffer: (agent, desired) => offers.set(`${agent.name} ${desired.generation?.n}`, (offers.get(`${agent.name} ${desired.generation?.n}`) ?? 0) + 1) }));
    const { id } = await api.createRollout(clusterId, { gate: { bakeMs: 0 }, leaseMs: 120_000 });
    for (let kill = 0; kill < 4; kill += 1) {
      await delay(100 + 150 * kill);
      await plane.processes.worker.kill();
      await plane.processes.worker.start();
    }
    await vi.waitFor(async () => expect((await api.rollout(clusterId, id)).state).toBe('succeeded'), PATIENCE);
    expect(offers.size).toBe(fleet.agents.length);
    expect([...offers.values()].every((count) => count === 1)).toBe(true);
  }, 240_000);
});

describe('fault 21: kill -9 of the gateway', () => {
  it('brings every agent back by itself, none refused, and a push still reaches it', async () => {
    const refused: unknown[] = [];
    const { fleet, clusterId } = await fleetOf(60, () => ({ onRefused: (refusal) => refused.push(refusal) }));
    await plane.processes.gateway.kill();
    await vi.waitFor(() => expect(fleet.connected).toBe(0), PATIENCE);
    await plane.processes.gateway.start();
    await vi.waitFor(() => expect(fleet.connected).toBe(60), PATIENCE);
    expect(refused).toEqual([]);
    const { id } = await api.createRollout(clusterId, { gate: { bakeMs: 0 } });
    await vi.waitFor(async () => expect((await api.rollout(clusterId, id)).state).toBe('succeeded'), PATIENCE);
  }, 240_000);
});

describe('fault 22: connections that mean no good', () => {
  it('cuts one that sends no request within seconds', async () => {
    const { hostname, port } = new URL(gateway.url);
    const startedMs = Date.now();
    const socket = connectTls({ host: hostname, port: Number(port), ca: gateway.ca, ALPNProtocols: ['h2'] });
    // The HTTP/2 preface and empty settings (RFC 9113 §3.4), and then nothing.
    socket.once('secureConnect', () => socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])])));
    socket.on('error', () => undefined);
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(Date.now() - startedMs).toBeLessThan(30_000);
  }, 60_000);

  it('refuses a compressed body, and a longer one than the limit without keeping it', async () => {
    const { fleet } = await fleetOf(1);
    const agent = fleet.agents[0]!;
    const session = connectHttp2(gateway.url, { ca: gateway.ca, cert: agent.enrolled!.certificateChain, key: agent.privateKeyPem });
    session.on('error', () => undefined);
    const send = (headers: Record<string, string>, body: Buffer): Promise<number> =>
      new Promise((resolve) => {
        const stream = session.request({ ':method': 'POST', ':path': AGENT_ROUTES.checkIn.path, 'content-type': PROTOBUF_CONTENT_TYPE, ...headers });
        stream.on('error', () => undefined);
        stream.once('response', (response) => resolve(Number(response[constants.HTTP2_HEADER_STATUS])));
        stream.resume();
        stream.end(body);
      });
    expect(await send({ 'content-encoding': 'gzip' }, gzipSync(Buffer.alloc(64 * 1024 * 1024)))).toBe(400);
    expect(await send({}, Buffer.alloc(maxMessageBytes(CheckInRequestSchema) + 1))).toBe(413);
    session.destroy();
  }, 60_000);

  it('cuts a body that never ends', async () => {
    const { fleet } = await fleetOf(1);
    const agent = fleet.agents[0]!;
    const session = connectHttp2(gateway.url, { ca: gateway.ca, cert: agent.enrolled!.certificateChain, key: agent.privateKeyPem });
    session.on('error', () => undefined);
    const stream = session.request({ ':method': 'POST', ':path': AGENT_ROUTES.checkIn.path, 'content-type': PROTOBUF_CONTENT_TYPE });
    stream.on('error', () => undefined);
    const drip = setInterval(() => stream.write(Buffer.from([0])), 200);
    await new Promise((resolve) => stream.once('close', resolve));
    clearInterval(drip);
    expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
    session.destroy();
  }, 60_000);
});

describe('a route that needs a certificate', () => {
  it('is closed without one', async () => {
    const connection = await AgentConnection.open(gateway.url, gateway.ca);
    for (const path of ['/agent/v1/metadata/timestamp', `/agent/v1/blobs/${'0'.repeat(64)}`, '/agent/v1/identities']) await expect(connection.get(path)).rejects.toMatchObject({ status: 401 });
    await expect(connection.send('POST', AGENT_ROUTES.checkIn.path, Buffer.alloc(0), 5_000)).rejects.toMatchObject({ status: 401 });
    expect((await connection.get('/agent/v1/metadata/root?version=1')).byteLength).toBeGreaterThan(100);
    connection.close();
  });
});
