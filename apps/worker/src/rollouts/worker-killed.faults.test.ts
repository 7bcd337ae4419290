import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ApiClient } from '../../../../fleet/src/api-client.ts';
import { Fleet } from '../../../../fleet/src/fleet.ts';
import { startControlPlane, type ControlPlane } from '../../../../tools/stack/control-plane.ts';
import { StateFolder } from '../../../../tools/stack/state-folder.ts';

// Real processes of what was built (`./dev build`), ended by SIGKILL.
let plane: ControlPlane;
let api: ApiClient;
let dir: string;
let fleet: Fleet | undefined;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'palisade-worker-killed-'));
  plane = await startControlPlane({ state: new StateFolder(dir), gatewayAddress: '127.0.0.1', anyPorts: true, progress: () => undefined, onUnexpectedEnd: () => undefined });
  api = new ApiClient(plane.apiUrl, readFileSync(plane.ownerTokenFile, 'utf8').trim());
}, 240_000);
afterAll(async () => {
  fleet?.stop();
  await plane?.stop();
  rmSync(dir, { recursive: true, force: true });
}, 60_000);

interface EventPage {
  readonly items: readonly { readonly id: string; readonly kind: string; readonly waveIndex: number | null }[];
}

describe('fault 14: kill -9 of the worker at every transition', () => {
  it('delays the rollout and changes nothing else: every wave opens once, every node is offered once', async () => {
    const { id: clusterId } = await api.createCluster('killed');
    const offers = new Map<string, number>();
    fleet = new Fleet({ url: plane.gatewayUrl, ca: readFileSync(join(dir, 'keys/root/gateway-ca.crt'), 'utf8') }, 4, () => ({
      onOffer: (agent, desired) => offers.set(`${agent.name} ${desired.generation?.n}`, (offers.get(`${agent.name} ${desired.generation?.n}`) ?? 0) + 1),
    }));
    await fleet.enroll(await api.enrollmentToken(clusterId, 4));
    await fleet.start();
    const { id } = await api.createRollout(clusterId, { gate: { bakeMs: 0 }, leaseMs: 300_000 });
    const killedAfter = new Set<string>();
    const events = async () => (await api.call<EventPage>('GET', `/v1/clusters/${clusterId}/rollouts/${id}/events?limit=200`)).items;
    while ((await api.rollout(clusterId, id)).state !== 'succeeded') {
      const fresh = (await events()).map(({ kind, waveIndex }) => `${kind} ${waveIndex ?? ''}`).filter((name) => !killedAfter.has(name));
      if (fresh.length > 0) {
        for (const name of fresh) killedAfter.add(name);
        await plane.processes.worker.kill();
        await plane.processes.worker.start();
      }
      await delay(20);
      expect(['draft', 'validating', 'ready', 'running', 'succeeded']).toContain((await api.rollout(clusterId, id)).state);
    }
    // It was killed after every kind of step that there is.
    expect([...new Set([...killedAfter].map((name) => name.split(' ')[0]))]).toEqual(expect.arrayContaining(['validating', 'ready', 'running', 'wave-opened', 'wave-passed']));
    const opened = (await events()).filter(({ kind }) => kind === 'wave-opened').map(({ waveIndex }) => waveIndex);
    expect(opened).toEqual([...new Set(opened)]);
    await vi.waitFor(() => expect(offers.size).toBe(4), { timeout: 30_000, interval: 50 });
    expect([...offers.values()]).toEqual([1, 1, 1, 1]);
  }, 600_000);
});
