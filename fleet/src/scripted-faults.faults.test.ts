import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startControlPlane, type ControlPlane } from '../../tools/stack/control-plane.ts';
import { StateFolder } from '../../tools/stack/state-folder.ts';
import type { Refused } from './agent-connection.ts';
import { ApiClient } from './api-client.ts';
import { Fleet } from './fleet.ts';
import type { Behaviour } from './simulated-agent.ts';

const PATIENCE = { timeout: 90_000, interval: 100 };
let plane: ControlPlane;
let api: ApiClient;
let dir: string;
const fleets: Fleet[] = [];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'palisade-scripted-'));
  plane = await startControlPlane({ state: new StateFolder(dir), gatewayAddress: '127.0.0.1', anyPorts: true, progress: () => undefined, onUnexpectedEnd: () => undefined });
  api = new ApiClient(plane.apiUrl, readFileSync(plane.ownerTokenFile, 'utf8').trim());
}, 180_000);
afterAll(async () => {
  for (const fleet of fleets) fleet.stop();
  await plane?.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

async function fleetOf(name: string, behaviours: readonly Behaviour[], onRefused: (refused: Refused) => void = () => undefined): Promise<{ fleet: Fleet; clusterId: string }> {
  const { id } = await api.createCluster(name);
  const fleet = new Fleet({ url: plane.gatewayUrl, ca: readFileSync(join(dir, 'keys/root/gateway-ca.crt'), 'utf8') }, behaviours.length, (index) => ({ behaviour: behaviours[index]!, onRefused }));
  fleets.push(fleet);
  await fleet.enroll(await api.enrollmentToken(id, behaviours.length));
  await fleet.start();
  return { fleet, clusterId: id };
}

/** All at once: which node is the canary must not matter. */
const ONE_WAVE = { kind: 'sizes', sizes: [{ fraction: 1 }] };

describe('a fleet with scripted faults', () => {
  it('halts where a node claims health under a digest that was not offered: its HEALTHY does not count', async () => {
    const { fleet, clusterId } = await fleetOf('lying', ['healthy', 'lying', 'healthy', 'healthy']);
    const { id } = await api.createRollout(clusterId, { strategy: ONE_WAVE, gate: { bakeMs: 0, minHealthy: 1, maxFailed: 0, maxUnknown: 0 }, leaseMs: 3_000 });
    await vi.waitFor(async () => expect(['paused', 'halted']).toContain((await api.rollout(clusterId, id)).state), PATIENCE);
    const { items } = await api.call<{ items: readonly { nodeId: string; state: string }[] }>('GET', `/v1/clusters/${clusterId}/rollouts/${id}/nodes`);
    expect(items.find((node) => node.nodeId === fleet.agents[1]!.nodeId)?.state).not.toBe('healthy');
    expect((await api.rollout(clusterId, id)).waves?.[0]?.state).not.toBe('passed');
  }, 180_000);

  it('pauses the wave of a canary that goes silent', async () => {
    const { clusterId } = await fleetOf('silent', ['silent']);
    const { id } = await api.createRollout(clusterId, { gate: { bakeMs: 0 }, leaseMs: 3_000 });
    await vi.waitFor(async () => expect(await api.rollout(clusterId, id)).toMatchObject({ state: 'paused', reason: expect.stringContaining('silent') }), PATIENCE);
  }, 180_000);

  it('halts where nodes report that their kernel refused the programs, in their own words', async () => {
    const { clusterId } = await fleetOf('failing', ['failing', 'failing']);
    const { id } = await api.createRollout(clusterId, { gate: { bakeMs: 0 } });
    await vi.waitFor(async () => expect(await api.rollout(clusterId, id)).toMatchObject({ state: 'halted', reason: expect.stringContaining('failed or reverted') }), PATIENCE);
  }, 180_000);

  it('locks a node whose disk was cloned, and refuses both copies', async () => {
    const refusals: Refused[] = [];
    const { fleet, clusterId } = await fleetOf('cloned', ['cloned', 'healthy'], (refused) => refusals.push(refused));
    const locked = fleet.agents[0]!;
    await vi.waitFor(async () => expect((await api.call<{ state: string }>('GET', `/v1/clusters/${clusterId}/nodes/${locked.nodeId}`)).state).toBe('locked'), PATIENCE);
    // The copy at its renewal, the machine at its next check-in.
    await vi.waitFor(() => expect(refusals.filter((refused) => refused.status === 403)).toHaveLength(2), PATIENCE);
    expect(fleet.agents[1]!.connected).toBe(true);
  }, 180_000);
});
