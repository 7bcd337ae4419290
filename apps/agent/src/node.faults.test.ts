import { spawn, type ChildProcess } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { NodeBundleState } from '@palisade/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AgentState } from './state/agent-state.ts';
import { startAgent, type AgentSetup, type RunningAgent } from './testing/running-agent.ts';
import { testAuthority } from './testing/test-certificates.ts';
import { problem, TestControlPlane } from './testing/test-control-plane.ts';

// Faults 4, 5, 6, 8, 12 and 24 of the trust and fleet design, from the node's side.

let plane: TestControlPlane;
const agents: RunningAgent[] = [];

beforeEach(async () => {
  plane = await TestControlPlane.start();
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.remove();
  await plane.stop();
});

const until = <T>(check: () => T) => vi.waitFor(check, { timeout: 20_000, interval: 10 });

async function healthyAgent(setup: Partial<AgentSetup> = {}): Promise<{ agent: RunningAgent; digest: string }> {
  const agent = startAgent({ plane, ...setup });
  agents.push(agent);
  await until(() => expect(plane.checkIns.length).toBeGreaterThan(0));
  const { contentDigest } = await plane.offer('1.1');
  await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, contentDigest }));
  return { agent, digest: contentDigest };
}

describe('fault 4: a revoked node', () => {
  it('keeps its programs when the gateway refuses it', async () => {
    const { agent, digest } = await healthyAgent();
    let refusals = 0;
    plane.intercept = (path, response) => {
      if (path !== '/agent/v1/check-in') return false;
      refusals += 1;
      problem(response, 403, 'auth.forbidden', 'This node is revoked. What its kernel enforces stays in force.');
      return true;
    };
    await plane.offer('1.2');
    await until(() => expect(refusals).toBeGreaterThan(1));
    expect(agent.kernel.state).toMatchObject({ generation: '1.1', contentDigest: digest });
    expect(agent.kernel.bypassed).toBe(false);
    expect(agent.state.ledger()).toMatchObject({ current: { generation: '1.1' } });
  });
});

describe('fault 5: a cloned disk', () => {
  it('is refused at the second renewal and keeps enforcing', async () => {
    const { agent } = await healthyAgent();
    await agent.stop();
    const copy = mkdtempSync(join(tmpdir(), 'palisade-clone-'));
    cpSync(agent.dir, copy, { recursive: true });
    const due = () => Date.now() + 20 * 3600_000; // past half-life, before expiry
    const first = startAgent({ plane, dir: agent.dir, kernel: agent.kernel, now: due });
    agents.push(first);
    await until(() => expect(first.log.join('')).toMatch(/certificate was renewed/));
    const clone = startAgent({ plane, dir: copy, now: due });
    agents.push(clone);
    await until(() => expect(clone.log.join('')).toMatch(/renewed elsewhere/));
    expect(clone.kernel.state?.generation).toBe('1.1');
  });
});

describe('fault 6: the gateway\'s certificate authority is replaced', () => {
  it('the node follows the root chain and connects, without a new pin', async () => {
    const { agent } = await healthyAgent();
    await plane.stop();
    plane.gatewayCa = await testAuthority('next gateway CA');
    await plane.publishRoot(2, plane.signers, [plane.signers.root]);
    await plane.listen();
    const before = plane.checkIns.length;
    await until(() => expect(plane.checkIns.length).toBeGreaterThan(before));
    expect(agent.kernel.state?.generation).toBe('1.1');
  });
});

describe('fault 8: offline past the expiry of the certificate', () => {
  it('enforces throughout and recovers by challenge', async () => {
    const { agent, digest } = await healthyAgent();
    await agent.stop();
    await plane.stop();
    const later = () => Date.now() + 25 * 3600_000;
    const again = startAgent({ plane, dir: agent.dir, kernel: agent.kernel, now: later });
    agents.push(again);
    await until(() => expect(again.log.join('')).toMatch(/no connection to the gateway/));
    expect(again.kernel.state?.contentDigest).toBe(digest);
    await plane.listen();
    const before = plane.checkIns.length;
    await until(() => expect(plane.paths.filter((path) => path.endsWith('/recover'))).toHaveLength(1));
    await until(() => expect(plane.checkIns.length).toBeGreaterThan(before));
    expect(again.kernel.state?.contentDigest).toBe(digest);
  });

  it('recovers when the gateway refuses a certificate that the node holds to be good', async () => {
    plane.certificateLifetimeMs = 2_000;
    const { agent } = await healthyAgent();
    await agent.stop();
    await vi.waitFor(() => expect(Date.now()).toBeGreaterThan(certificateEnd(agent.state)), { timeout: 5_000 });
    plane.certificateLifetimeMs = 86_400_000;
    const behind = startAgent({ plane, dir: agent.dir, kernel: agent.kernel, now: () => Date.now() - 600_000 });
    agents.push(behind);
    const before = plane.checkIns.length;
    await until(() => expect(plane.checkIns.length).toBeGreaterThan(before));
    expect(plane.paths.filter((path) => path.endsWith('/recover'))).toHaveLength(1);
  });
});

describe('fault 12: kill -9 in the middle of a write', () => {
  it('leaves whole files, never older than what was told, and no leftovers after a sweep', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'palisade-kill-'));
    let last = 0;
    for (let round = 0; round < 8; round += 1) {
      const told = await writeAndKill(dir, last + 1, 15 + Math.random() * 60);
      const state = new AgentState(dir);
      const ledger = state.ledger().current;
      const trust = state.trust();
      expect(ledger?.contentDigest).toBe(String(ledger?.policyRevision).repeat(2_000));
      const highest = Number(trust?.highestGeneration?.split('.')[1]);
      expect(trust?.root.length).toBe(200_000);
      expect(new Set(trust?.root)).toEqual(new Set([highest % 256]));
      expect(ledger?.policyRevision).toBeGreaterThanOrEqual(told);
      expect(highest).toBeGreaterThanOrEqual(told);
      last = Math.max(told, ledger?.policyRevision ?? 0);
      state.sweep();
      expect([...readdirSync(join(dir, 'trust')), ...readdirSync(join(dir, 'bundles'))].filter((name) => name.endsWith('.tmp'))).toEqual([]);
    }
    expect(last).toBeGreaterThan(8);
    rmSync(dir, { recursive: true });
  });

  it('of the agent, again and again at any moment: it ends on what is wanted, and never on anything else', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'palisade-killed-'));
    const offered = new Set<string>();
    let wanted = '';
    for (let n = 1; n <= 8; n += 1) {
      const agent = spawnAgent(dir);
      const before = plane.checkIns.length;
      if (n === 1) await until(() => expect(plane.enrollments.size).toBe(1));
      const maps = [{ name: `map-${n}`, type: 'hash', keySize: 4, valueSize: 4, maxEntries: n }];
      wanted = (await plane.offer(`1.${n}`, { maps })).contentDigest;
      offered.add(wanted);
      await until(() => expect(plane.checkIns.length).toBeGreaterThan(before));
      await delay(Math.random() * 250);
      await kill(agent);
      const running = runningIn(dir);
      expect(running === undefined || offered.has(running)).toBe(true);
    }
    const last = spawnAgent(dir);
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, contentDigest: wanted, generation: { n: 8n } }));
    await kill(last);
    expect(plane.enrollments.size).toBe(1);
    rmSync(dir, { recursive: true });
  }, 60_000);

  it('of an agent that has switched and not yet committed: it watches the bundle again and commits it', async () => {
    const { agent } = await healthyAgent();
    const { contentDigest } = await plane.offer('1.2', { maps: [{ name: 'm', type: 'hash', keySize: 4, valueSize: 4, maxEntries: 1 }] });
    await until(() => expect(agent.state.ledger().candidate?.generation).toBe('1.2'));
    await agent.stop(); // nothing is written at the end of an agent: stopping and killing leave the same disk
    const again = startAgent({ plane, dir: agent.dir, kernel: agent.kernel });
    agents.push(again);
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, contentDigest }));
  });
});

describe('fault 13: a bundle that takes its agent down', () => {
  it('is given up by the process that is started the fourth time, and what ran before runs on', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'palisade-crash-'));
    const candidate = () => new AgentState(dir).ledger().candidate;
    let agent = spawnAgent(dir);
    await until(() => expect(plane.enrollments.size).toBe(1));
    const { contentDigest } = await plane.offer('1.1');
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.HEALTHY, contentDigest }));
    await plane.offer('1.2', { maps: [{ name: 'deadly', type: 'hash', keySize: 4, valueSize: 4, maxEntries: 1 }] });
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      if (attempt > 1) agent = spawnAgent(dir);
      // It has switched and not yet been healthy for long enough: as if the bundle had killed it.
      await until(() => expect(candidate()).toMatchObject({ generation: '1.2', attempts: attempt }));
      await kill(agent);
    }
    agent = spawnAgent(dir);
    await until(() => expect(plane.last?.observed).toMatchObject({ state: NodeBundleState.REVERTED, contentDigest, generation: { n: 1n }, subjectGeneration: { n: 2n }, reason: expect.stringContaining('crash loop') as string }));
    await until(() => expect(runningIn(dir)).toBe(contentDigest));
    await kill(agent);
    rmSync(dir, { recursive: true });
  }, 60_000);
});

describe('fault 24: no control plane for a day', () => {
  it('changes nothing of what is enforced, and the node comes back by itself', async () => {
    let skewMs = 0;
    const { agent, digest } = await healthyAgent({ now: () => Date.now() + skewMs });
    const { applied } = agent.kernel;
    const appliedBefore = applied.length;
    await plane.stop();
    for (let hour = 1; hour <= 24; hour += 1) {
      skewMs = hour * 3600_000;
      await until(() => expect(agent.kernel.state?.contentDigest).toBe(digest));
    }
    expect(applied.length).toBe(appliedBefore);
    expect(agent.state.ledger()).toMatchObject({ current: { generation: '1.1' } });
    await plane.listen();
    const before = plane.checkIns.length;
    await until(() => expect(plane.checkIns.length).toBeGreaterThan(before));
    expect(agent.kernel.state?.contentDigest).toBe(digest);
  });
});

function certificateEnd(state: AgentState): number {
  return Date.parse(new X509Certificate(state.node()?.certificateChainPem ?? '').validTo);
}

function spawnAgent(dir: string): ChildProcess {
  const script = join(import.meta.dirname, 'testing/agent-process.ts');
  return spawn(process.execPath, ['--conditions=palisade-src', script, dir, plane.url, plane.pin, plane.token], { stdio: ['ignore', 'ignore', 'inherit'] });
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = once(child, 'close');
  child.kill('SIGKILL');
  await gone;
}

/** Content digest that the kernel of a killed agent runs. */
function runningIn(dir: string): string | undefined {
  const path = join(dir, 'kernel.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { contentDigest: string } | null)?.contentDigest : undefined;
}

/** Starts a process that writes state without end, kills it, and says the last number it told of. */
function writeAndKill(dir: string, start: number, afterMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const writer = spawn(process.execPath, ['--conditions=palisade-src', join(import.meta.dirname, 'testing/state-writer.ts'), dir, String(start)], { stdio: ['ignore', 'pipe', 'inherit'] });
    let told = 0;
    writer.stdout.on('data', (chunk: Buffer) => {
      const first = told === 0;
      told = Number(chunk.toString().trim().split('\n').at(-1));
      if (first) setTimeout(() => writer.kill('SIGKILL'), afterMs);
    });
    writer.once('error', reject);
    writer.once('close', () => resolve(told));
  });
}
