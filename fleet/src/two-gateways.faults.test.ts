import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { RedisServer } from '../../apps/worker/src/testing/redis-server.ts';
import { startControlPlane, type ControlPlane } from '../../tools/stack/control-plane.ts';
import type { ManagedProcess } from '../../tools/stack/managed-process.ts';
import { StateFolder } from '../../tools/stack/state-folder.ts';
import { AgentConnection } from './agent-connection.ts';
import { ApiClient } from './api-client.ts';
import { Fleet } from './fleet.ts';

const PATIENCE = { timeout: 90_000, interval: 100 };
/** Longer than the patience: whoever waits this long was not told by looking again, but woken. */
const NEVER_MS = 300_000;

describe.each(['PostgreSQL', 'Redis'])('two gateways woken by %s', (backend) => {
  let dir: string;
  let redis: RedisServer | undefined;
  let plane: ControlPlane;
  let second: { readonly url: string; readonly process: ManagedProcess };
  let api: ApiClient;
  let ca: string;
  const fleets: Fleet[] = [];

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'palisade-two-gateways-'));
    redis = backend === 'Redis' ? await RedisServer.start() : undefined;
    const environment = { PALISADE_REVIEW_MS: String(NEVER_MS), PALISADE_HOLD_LIMIT_MS: String(NEVER_MS), ...(redis && { REDIS_URL: redis.url }) };
    plane = await startControlPlane({ state: new StateFolder(dir), gatewayAddress: '127.0.0.1', anyPorts: true, progress: () => undefined, onUnexpectedEnd: () => undefined, environment });
    second = await plane.addGateway();
    api = new ApiClient(plane.apiUrl, readFileSync(plane.ownerTokenFile, 'utf8').trim());
    ca = readFileSync(join(dir, 'keys/root/gateway-ca.crt'), 'utf8');
  }, 180_000);
  afterAll(async () => {
    for (const fleet of fleets) fleet.stop();
    await plane?.stop();
    await redis?.kill();
    rmSync(dir, { recursive: true, force: true });
  }, 60_000);

  it('an agent of one hears of a wave that opens while the other is dead, and an agent of the dead one is held by the one that lives', async () => {
    const { id } = await api.createCluster('two-gateways');
    const heard: string[] = [];
    const onOffer = (agent: { readonly name: string }): void => void heard.push(agent.name);
    const ofFirst = new Fleet({ url: plane.gatewayUrl, ca }, 1, () => ({ holdMs: NEVER_MS, onOffer }));
    const ofSecond = new Fleet({ url: second.url, ca }, 3, () => ({ holdMs: NEVER_MS, onOffer }));
    fleets.push(ofFirst, ofSecond);
    for (const fleet of fleets) {
      await fleet.enroll(await api.enrollmentToken(id, fleet.agents.length));
      await fleet.start();
    }
    await plane.processes.gateway.kill();
    const orphan = ofFirst.agents[0]!;
    const connection = await AgentConnection.open(second.url, ca, orphan.identity);
    // It comes with the token that the dead gateway gave; nothing about it is remembered anywhere.
    const held = orphan.checkIn(connection, NEVER_MS);
    const { id: rollout } = await api.createRollout(id, { strategy: { kind: 'sizes', sizes: [{ fraction: 1 }] }, gate: { bakeMs: 0, minHealthy: 0.5, maxUnknown: 0.5 }, leaseMs: NEVER_MS });
    await vi.waitFor(() => expect(heard).toHaveLength(3), PATIENCE);
    // Other news, such as identities, may end the first wait; only the wave ends the last.
    let answer = await held;
    while (answer.desired === undefined) answer = await orphan.checkIn(connection, NEVER_MS);
    connection.close();

    await plane.processes.gateway.start();
    await vi.waitFor(async () => expect((await api.rollout(id, rollout)).state).toBe('succeeded'), PATIENCE);
  }, 240_000);

  it.runIf(backend === 'Redis')('an agent is still told of a wave after Redis lost everything and came back', async () => {
    const { id } = await api.createCluster('redis-lost');
    const fleet = new Fleet({ url: second.url, ca }, 2, () => ({ holdMs: NEVER_MS }));
    fleets.push(fleet);
    await fleet.enroll(await api.enrollmentToken(id, 2));
    await fleet.start();
    await redis!.kill();
    const { id: rollout } = await api.createRollout(id, { gate: { bakeMs: 0 }, leaseMs: NEVER_MS });
    await redis!.start();
    await vi.waitFor(async () => expect((await api.rollout(id, rollout)).state).toBe('succeeded'), PATIENCE);
  }, 240_000);
});
