import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { AgentConnection } from '../../fleet/src/agent-connection.ts';
import { ApiClient, type RolloutView } from '../../fleet/src/api-client.ts';
import { Fleet } from '../../fleet/src/fleet.ts';
import { GATEWAY_FLAGS, type ControlPlane } from '../../tools/stack/control-plane.ts';
import { percentile } from './percentile.ts';
import { rightWave } from './right-wave.ts';
import { processorSeconds } from './processor-time.ts';
import { idleResidentBytes, residentBytes } from './resident-memory.ts';

export interface FleetFigures {
  readonly agents: number;
  readonly enroll_s: number;
  readonly connect_s: number;
  /** To sign and assign the last wave: from the begin of that transaction to its commit. */
  readonly open_commit_s: number;
  /** From the commit of the wave's OPEN to the moment the offer is at the agent. */
  readonly offer_p99_s: number;
  /** To the moment the agent has fetched and checked the manifest that was offered. */
  readonly manifest_p99_s: number;
  /** Processor time of the gateway for the whole rollout: push, downloads, reports. */
  readonly rollout_gateway_cpu_s: number;
  readonly kb_per_agent: number;
  readonly bare_kb_per_agent: number;
  readonly gateway_rss_mb: number;
  readonly recover_s: number;
  readonly checkin_p99_ms: number;
  readonly worst_second_failed_pct: number;
  /** -1: not halted. */
  readonly halted_at_wave: number;
  /** The first wave of which more nodes fail than is tolerated; -1: none. */
  readonly right_wave: number;
}

/** When each agent heard first, Unix ms by its name. */
type Arrivals = Map<string, number>;

/** As the agent's defaults: how long it is content to wait, and how long it watches a bundle before it calls itself healthy. */
const HOLD_MS = 50_000;
const HEALTH_MS = 10_000;

/** One run with this many agents on a control plane that has no other load. */
export async function measureFleet(plane: ControlPlane, keysDir: string, count: number, tell: (sentence: string) => void): Promise<FleetFigures> {
  const api = new ApiClient(plane.apiUrl, readFileSync(plane.ownerTokenFile, 'utf8').trim());
  const gateway = { url: plane.gatewayUrl, ca: readFileSync(join(keysDir, 'root/gateway-ca.crt'), 'utf8') };
  const cluster = await api.createCluster(`bench-${count}-${Date.now()}`);
  const offers: Arrivals = new Map();
  const manifests: number[] = [];
  const checkIns: { readonly atMs: number; readonly durationMs: number }[] = [];
  const refusals: number[] = [];
  const fleet = new Fleet(gateway, count, () => ({
    holdMs: HOLD_MS,
    healthDelayMs: HEALTH_MS,
    onOffer: (agent, _desired, atMs) => void (offers.has(agent.name) || offers.set(agent.name, atMs)),
    onManifest: (atMs) => manifests.push(atMs),
    onCheckIn: (durationMs, held) => void (held || checkIns.push({ atMs: Date.now(), durationMs })),
    onRefused: () => refusals.push(Date.now()),
  }));
  try {
    const idleBytes = await idleResidentBytes(plane.processes.gateway.pid!);
    const enrollS = await timed(async () => fleet.enroll(await api.enrollmentToken(cluster.id, count)));
    tell(`${count} agents enrolled in ${enrollS.toFixed(1)} s`);
    const connectS = await timed(() => fleet.start());
    const heldBytes = await idleResidentBytes(plane.processes.gateway.pid!);
    tell(`all connected and held after ${connectS.toFixed(1)} s; gateway at ${mb(heldBytes)} MB, ${kb(heldBytes - idleBytes, count)} KB an agent`);

    const cpuBefore = processorSeconds(plane.processes.gateway.pid!);
    const offered = await measureOffer(plane, api, cluster.id, offers, manifests, count, tell);
    const rolloutCpuS = processorSeconds(plane.processes.gateway.pid!) - cpuBefore;
    const recovery = await measureRecovery(plane, fleet, checkIns, refusals, tell);
    const halt = await measureHalt(api, cluster.id, fleet, tell);
    const rss = residentBytes(plane.processes.gateway.pid!);
    fleet.stop();
    const bareKb = await measureBare(keysDir, fleet, gateway.ca, tell);
    return {
      agents: count,
      enroll_s: enrollS,
      connect_s: connectS,
      ...offered,
      rollout_gateway_cpu_s: rolloutCpuS,
      kb_per_agent: kb(heldBytes - idleBytes, count) - bareKb,
      bare_kb_per_agent: bareKb,
      gateway_rss_mb: mb(Math.max(rss, heldBytes)),
      ...recovery,
      ...halt,
    };
  } finally {
    fleet.stop();
  }
}

interface WakeUp {
  readonly cluster: string;
  readonly atMs: number;
}

/** From the commit of the last wave's OPEN to the moment each node holds the offer, and what it was offered. */
async function measureOffer(plane: ControlPlane, api: ApiClient, clusterId: string, offers: Arrivals, manifests: number[], count: number, tell: (sentence: string) => void): Promise<Pick<FleetFigures, 'open_commit_s' | 'offer_p99_s' | 'manifest_p99_s'>> {
  offers.clear();
  manifests.length = 0;
  const wakes: WakeUp[] = [];
  const clock = fork(join(import.meta.dirname, 'commit-clock-server.ts'), [plane.adminUrl], { execArgv: ['--conditions=palisade-src'] });
  clock.on('message', (wake: WakeUp) => wakes.push(wake));
  const created = await api.createRollout(clusterId, { strategy: { kind: 'sizes', sizes: [{ nodes: 1 }, { fraction: 1 }] }, gate: { bakeMs: 0, minHealthy: 0.9, maxUnknown: 0.1 } });
  const done = await settled(api, clusterId, created.id, 180_000);
  const openedMs = Date.parse(done.waves?.at(-1)?.openedAt ?? '');
  await until(() => offers.size >= count && manifests.length >= count, 30_000);
  clock.kill('SIGKILL');
  // Stamped when the transaction began that signs and assigns the wave; it wakes as it commits.
  const committedMs = wakes.find((wake) => wake.cluster === clusterId && wake.atMs >= openedMs)?.atMs ?? openedMs;
  const offered = [...offers.values()];
  const since = (times: readonly number[]) => times.map((atMs) => (atMs - committedMs) / 1000).filter((seconds) => seconds >= 0);
  const p99 = (times: readonly number[]) => (times.length < count ? Number.POSITIVE_INFINITY : percentile(since(times), 0.99));
  tell(`rollout ${done.state}${done.reason === null ? '' : ` (${done.reason})`}: offered to ${offers.size} agents, p50 ${percentile(since(offered), 0.5).toFixed(2)} s, p99 ${p99(offered).toFixed(2)} s after the commit of OPEN, which took ${((committedMs - openedMs) / 1000).toFixed(2)} s; manifests at p99 ${p99(manifests).toFixed(2)} s`);
  return { open_commit_s: (committedMs - openedMs) / 1000, offer_p99_s: p99(offered), manifest_p99_s: p99(manifests) };
}

async function measureRecovery(plane: ControlPlane, fleet: Fleet, checkIns: { atMs: number; durationMs: number }[], refusals: number[], tell: (sentence: string) => void) {
  await plane.processes.gateway.kill();
  checkIns.length = 0;
  refusals.length = 0;
  const killedMs = Date.now();
  // Readiness is asked of a process that is busy with its fleet: what counts is when it takes connections.
  const ready = plane.processes.gateway.start().catch((error: unknown) => tell(`the gateway was not ready in time: ${String(error).split('\n')[0]}`));
  await until(() => canConnect(plane.gatewayUrl), 60_000);
  const listeningMs = Date.now();
  await until(() => fleet.connected === fleet.agents.length, 240_000);
  const recoverS = (Date.now() - killedMs) / 1000;
  await ready;
  const since = checkIns.filter((checkIn) => checkIn.atMs >= listeningMs);
  const bySecond = new Map<number, { ok: number; refused: number }>();
  const slot = (atMs: number) => {
    const second = Math.floor((atMs - listeningMs) / 1000);
    const counts = bySecond.get(second) ?? { ok: 0, refused: 0 };
    bySecond.set(second, counts);
    return counts;
  };
  for (const checkIn of since) slot(checkIn.atMs).ok += 1;
  for (const atMs of refusals) if (atMs >= listeningMs) slot(atMs).refused += 1;
  const worst = Math.max(0, ...[...bySecond.values()].map(({ ok, refused }) => (100 * refused) / (ok + refused)));
  const p99 = percentile(since.map((checkIn) => checkIn.durationMs), 0.99);
  tell(`gateway killed: ${fleet.connected} of ${fleet.agents.length} back after ${recoverS.toFixed(1)} s, check-in p99 ${p99} ms, worst second ${worst.toFixed(2)} % refused`);
  return { recover_s: fleet.connected === fleet.agents.length ? recoverS : Number.POSITIVE_INFINITY, checkin_p99_ms: p99, worst_second_failed_pct: worst };
}

const TOLERATED = 0.005;

/** One node in a hundred fails; half a percent of a wave is tolerated. Where it must halt follows from where the failing nodes are. */
async function measureHalt(api: ApiClient, clusterId: string, fleet: Fleet, tell: (sentence: string) => void): Promise<Pick<FleetFigures, 'halted_at_wave' | 'right_wave'>> {
  fleet.agents.forEach((agent, index) => (agent.behaviour = index % 100 === 7 ? 'failing' : 'healthy'));
  const created = await api.createRollout(clusterId, { supersede: true, gate: { bakeMs: 0, maxFailed: TOLERATED, minHealthy: 0.9, maxUnknown: 0.1 } });
  const done = await settled(api, clusterId, created.id, 180_000);
  const wave = done.waves?.findIndex((candidate) => candidate.state === 'failed') ?? -1;
  const failing = new Set(fleet.agents.filter(({ behaviour }) => behaviour === 'failing').map(({ nodeId }) => nodeId));
  const nodes = await api.rolloutNodes(clusterId, created.id);
  const right = rightWave(nodes.map((node) => ({ wave: node.waveIndex, fails: failing.has(node.nodeId) })), TOLERATED);
  tell(`with 1 % failing nodes the rollout is ${done.state} at wave ${wave} (${done.waves?.[wave]?.name ?? '-'}), right is ${right}: ${done.reason ?? ''}`);
  return { halted_at_wave: wave, right_wave: right };
}

async function measureBare(keysDir: string, fleet: Fleet, ca: string, tell: (sentence: string) => void): Promise<number> {
  const child = fork(join(import.meta.dirname, 'bare-server.ts'), [join(keysDir, 'gateway')], { execArgv: ['--conditions=palisade-src', ...GATEWAY_FLAGS] });
  const connections: AgentConnection[] = [];
  try {
    const port = await new Promise<number>((resolve) => child.once('message', (message) => resolve((message as { port: number }).port)));
    const before = await idleResidentBytes(child.pid!);
    const pending = [...fleet.agents];
    const worker = async (): Promise<void> => {
      for (let agent = pending.pop(); agent !== undefined; agent = pending.pop()) {
        const connection = await AgentConnection.open(`https://127.0.0.1:${port}`, ca, agent.identity);
        await connection.get('/');
        connections.push(connection);
      }
    };
    await Promise.all(Array.from({ length: 24 }, worker));
    const perAgent = kb((await idleResidentBytes(child.pid!)) - before, fleet.agents.length);
    tell(`a bare server holds the same connections at ${perAgent.toFixed(1)} KB each`);
    return perAgent;
  } finally {
    for (const connection of connections) connection.close();
    child.kill('SIGKILL');
  }
}

async function settled(api: ApiClient, clusterId: string, id: string, withinMs: number): Promise<RolloutView> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const rollout = await api.rollout(clusterId, id);
    if (['succeeded', 'halted', 'paused'].includes(rollout.state) || Date.now() > deadline) return rollout;
    await delay(200);
  }
}

async function until(condition: () => boolean | Promise<boolean>, withinMs: number): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await condition()) && Date.now() < deadline) await delay(50);
}

function canConnect(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return (performance.now() - startedMs) / 1000;
}

function kb(bytes: number, count: number): number {
  return bytes / 1024 / count;
}

function mb(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
