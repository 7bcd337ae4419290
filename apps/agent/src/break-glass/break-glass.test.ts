import { NodeBundleState } from '@palisade/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startAgent, type RunningAgent } from '../testing/running-agent.ts';
import { TestControlPlane } from '../testing/test-control-plane.ts';
import { parseDuration } from './break-glass.ts';

let plane: TestControlPlane;
let agent: RunningAgent;

beforeEach(async () => {
  plane = await TestControlPlane.start();
  agent = startAgent({ plane });
  await until(() => expect(plane.checkIns.length).toBeGreaterThan(0));
  await plane.offer('1.1');
  await until(() => expect(plane.last?.observed?.state).toBe(NodeBundleState.HEALTHY));
});
afterEach(async () => {
  await agent.remove();
  await plane.stop();
});

const until = <T>(check: () => T) => vi.waitFor(check, { timeout: 4_500, interval: 10 });
const acts = () => plane.checkIns.flatMap(({ observed }) => observed?.localActs ?? []).map(({ kind }) => kind);

describe('break-glass', () => {
  it('suspends enforcement, says until when, and ends by itself; both are told', async () => {
    const untilMs = Date.now() + 600;
    agent.state.saveDisabledUntil(untilMs);
    agent.state.addLocalAct({ kind: 'disable', atMs: Date.now(), detail: 'root suspended enforcement.' });
    await until(() => expect(agent.kernel.bypassed).toBe(true));
    await until(() => expect(plane.checkIns.some(({ observed }) => observed?.disabledUntilMs === BigInt(untilMs))).toBe(true));
    await until(() => expect(agent.kernel.bypassed).toBe(false));
    await until(() => expect(acts()).toEqual(expect.arrayContaining(['disable', 'enable'])));
    await until(() => expect(agent.state.localActs().size).toBe(0));
    expect(agent.state.disabledUntilMs()).toBeUndefined();
  });

  it('works without a control plane and is told on reconnect', async () => {
    await plane.stop();
    agent.state.saveDisabledUntil(Date.now() + 60_000);
    agent.state.addLocalAct({ kind: 'disable', atMs: Date.now(), detail: 'root suspended enforcement.' });
    await until(() => expect(agent.kernel.bypassed).toBe(true));
    await plane.listen();
    await until(() => expect(acts()).toContain('disable'));
  });

  it('does not make a new bundle look like a failure', async () => {
    agent.state.saveDisabledUntil(Date.now() + 60_000);
    await until(() => expect(agent.kernel.bypassed).toBe(true));
    const { contentDigest } = await plane.offer('1.2', { maps: [{ name: 'm', type: 'hash', keySize: 4, valueSize: 4, maxEntries: 1 }] });
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, contentDigest }));
  });
});

describe('durations', () => {
  it.each([['90s', 90_000], ['30m', 1_800_000], ['24h', 86_400_000]])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['', '0m', '30', 'm', '25h', '1d', '-5m', '1.5h'])('refuses "%s"', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
});
