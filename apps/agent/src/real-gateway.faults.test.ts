import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ApiClient } from '../../../fleet/src/api-client.ts';
import { withClient } from '../../../tools/postgres/database.ts';
import { startControlPlane, type ControlPlane } from '../../../tools/stack/control-plane.ts';
import { runOnce } from '../../../tools/stack/run-once.ts';
import { StateFolder } from '../../../tools/stack/state-folder.ts';
import { startAgent, type RunningAgent } from './testing/running-agent.ts';

// The agent's own code, on a kernel in memory, against the processes that were built (`./dev build`): what reaches a node
// through a real gateway, worker and database.

const PATIENCE = { timeout: 60_000, interval: 50 };
let plane: ControlPlane;
let api: ApiClient;
let dir: string;
let agent: RunningAgent;
let clusterId: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'palisade-real-gateway-'));
  plane = await startControlPlane({ state: new StateFolder(dir), gatewayAddress: '127.0.0.1', anyPorts: true, progress: () => undefined, onUnexpectedEnd: () => undefined });
  api = new ApiClient(plane.apiUrl, readFileSync(plane.ownerTokenFile, 'utf8').trim());
  clusterId = (await api.createCluster('recovery')).id;
  const token = await api.enrollmentToken(clusterId, 1);
  agent = startAgent({ plane: { url: plane.gatewayUrl, pin: readFileSync(plane.trustPinFile, 'utf8').trim(), token }, timings: { holdMs: 20_000, commitTimeoutMs: 60_000 } });
  await vi.waitFor(() => expect(agent.state.node()).toBeDefined(), PATIENCE);
}, 240_000);
afterAll(async () => {
  await agent?.remove();
  await plane?.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

const keys = (...words: readonly string[]) => runOnce('the ceremony', 'apps/keys/dist/main.js', [...words, '--dir', join(dir, 'keys')], {});
const restartWorker = async () => {
  await plane.processes.worker.kill();
  await plane.processes.worker.start();
};

/** Rolls out and waits for success. @returns the generation */
async function rollOut(): Promise<string> {
  const { id } = await api.createRollout(clusterId, { gate: { bakeMs: 0 }, leaseMs: 60_000 });
  await vi.waitFor(async () => {
    const { state, reason } = await api.rollout(clusterId, id);
    expect({ state, reason }).toMatchObject({ state: 'succeeded' });
  }, PATIENCE);
  const { generation } = await api.rollout(clusterId, id);
  await vi.waitFor(() => expect(agent.kernel.state?.generation).toBe(generation), PATIENCE);
  return generation!;
}

const rootVersion = () => (JSON.parse(Buffer.from(agent.state.trust()!.root).toString()) as { signed: { version: number } }).signed.version;

describe('an agent behind a real gateway', () => {
  it('follows root rotations, and loads what the new keys signed', async () => {
    expect(await rollOut()).toBe('1.1');
    // Read before the worker restarts: its snapshot may be here before the new root is.
    const before = agent.state.facts()!.facts.identityRevision;
    for (const role of ['timestamp', 'snapshot', 'director']) await keys('rotate', '--role', role);
    await restartWorker();
    await vi.waitFor(() => expect(rootVersion()).toBe(4), PATIENCE);
    // The identity stream goes on with a snapshot by the new director.
    await vi.waitFor(() => expect(agent.state.facts()!.facts.identityRevision).toBeGreaterThan(before), { ...PATIENCE, timeout: 90_000 });
    expect(await rollOut()).toBe('1.2');
  }, 240_000);

  it('follows into the epoch that the root opens after the database was restored from a backup', async () => {
    expect(await rollOut()).toBe('1.3');
    // The backup was taken when the second generation was the newest, and when the identity stream had begun.
    await withClient(plane.adminUrl, async (client) => {
      await client.query('ALTER TABLE palisade.generation_heads DISABLE TRIGGER generation_only_rises');
      await client.query('UPDATE palisade.generation_heads SET n = 1, adopted_n = 1 WHERE cluster_id = $1', [clusterId]);
      await client.query('DELETE FROM palisade.rollouts WHERE cluster_id = $1 AND n > 1', [clusterId]);
      await client.query('DELETE FROM palisade.generations WHERE cluster_id = $1 AND n > 1', [clusterId]);
      await client.query('ALTER TABLE palisade.generation_heads ENABLE TRIGGER generation_only_rises');
    });
    const { id } = await api.createRollout(clusterId, { gate: { bakeMs: 0 }, leaseMs: 60_000 });
    // The node has accepted a higher generation: without the root's word it takes no lower one.
    await vi.waitFor(async () => expect(await api.rollout(clusterId, id)).toMatchObject({ state: 'halted' }), PATIENCE);
    expect(agent.kernel.state?.generation).toBe('1.3');
    const { tenantId } = agent.state.node()!;
    await keys('recover-epoch', '--tenant', tenantId, '--cluster', clusterId, '--epoch', '2');
    await restartWorker();
    // The check-in tells of the epoch, before any rollout.
    await vi.waitFor(() => expect(agent.state.trust()?.epoch).toBe('2'), PATIENCE);
    await vi.waitFor(() => expect(agent.state.facts()?.epoch).toBe('2'), PATIENCE);
    expect(await rollOut()).toBe('2.1');
  }, 240_000);
});

describe('fault 6: both certificate authorities are replaced under traffic', () => {
  it('drops nothing: nodes stay connected, and new nodes enroll with the old pin', async () => {
    const losses = () => agent.log.filter((line) => line.includes('no connection to the gateway')).length;
    const before = losses();
    const generation = agent.kernel.state?.generation;
    const version = rootVersion();
    for (const role of ['node-ca', 'gateway-ca']) await keys('rotate', '--role', role);
    await restartWorker();
    await vi.waitFor(() => expect(rootVersion()).toBe(version + 2), PATIENCE);
    await keys('switch-gateway', '--gateway-host', '127.0.0.1', '--gateway-host', 'localhost');
    // A node that comes now meets the new certificate, with the pin of the first root, and its own is of the new node CA.
    const late = startAgent({ plane: { url: plane.gatewayUrl, pin: readFileSync(plane.trustPinFile, 'utf8').trim(), token: await api.enrollmentToken(clusterId, 1) }, timings: { holdMs: 20_000, commitTimeoutMs: 60_000 } });
    try {
      await vi.waitFor(() => expect(late.kernel.state?.generation).toBe(generation), PATIENCE);
    } finally {
      await late.remove();
    }
    expect(losses()).toBe(before);
    expect(agent.kernel.state?.generation).toBe(generation);
  }, 240_000);
});
