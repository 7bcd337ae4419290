import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, type AgentTimings } from '../agent.ts';
import { describeNode } from '../check-in/node-description.ts';
import type { Enforcer } from '../enforcer/enforcer.ts';
import { StaticEndpointSource } from '../endpoints/endpoint-source.ts';
import { followingResolver } from '../executor/following-resolver.ts';
import { joinFleet } from '../join-fleet.ts';
import { createLog, type Log } from '../log.ts';
import { AgentState } from '../state/agent-state.ts';
import { Connector } from '../transport/connector.ts';
import { MemoryKernel, memoryEnforcer } from './memory-enforcer.ts';
import type { TestControlPlane } from './test-control-plane.ts';

export const FAST: AgentTimings = { holdMs: 5_000, healthWindowMs: 60, commitTimeoutMs: 400, tickMs: 10 };

export interface AgentSetup {
  readonly plane: Pick<TestControlPlane, 'url' | 'pin' | 'token'>;
  readonly kernel?: MemoryKernel;
  /** Of an earlier agent; a new folder otherwise. */
  readonly dir?: string;
  readonly timings?: Partial<AgentTimings>;
  readonly now?: () => number;
  readonly pin?: string;
  readonly endpoints?: unknown;
  /** Instead of the one on the kernel in memory. */
  readonly enforcer?: Enforcer;
}

/** A whole agent in this process on a kernel in memory. */
export interface RunningAgent {
  readonly dir: string;
  readonly kernel: MemoryKernel;
  readonly state: AgentState;
  readonly log: string[];
  /** Rejects when the agent ended with an error. */
  readonly done: Promise<void>;
  stop(): Promise<void>;
  remove(): Promise<void>;
}

export function startAgent(setup: AgentSetup): RunningAgent {
  const dir = setup.dir ?? mkdtempSync(join(tmpdir(), 'palisade-agent-'));
  const kernel = setup.kernel ?? new MemoryKernel();
  const state = new AgentState(dir);
  const lines: string[] = [];
  const log: Log = createLog('debug', (line) => lines.push(line));
  const tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, setup.plane.token);
  const endpointsFile = join(dir, 'endpoints.json');
  writeFileSync(endpointsFile, JSON.stringify(setup.endpoints ?? { endpoints: [] }));
  const stop = new AbortController();
  const done = run();
  done.catch(() => undefined);

  async function run(): Promise<void> {
    state.sweep();
    const enforcer = setup.enforcer ?? memoryEnforcer(kernel);
    const features = await enforcer.features();
    const now = setup.now ?? Date.now;
    const connector = new Connector({ gateway: setup.plane.url, state, now, log });
    const joined = await joinFleet({ state, connector, describe: describeNode(features, undefined), tokenFile, trustPin: setup.pin ?? setup.plane.pin, log }, stop.signal);
    if (joined === undefined) return;
    const endpoints = new StaticEndpointSource(endpointsFile, log);
    const agent = new Agent({ state, connector, enforcer, kernel: features, resolve: followingResolver(), endpoints, now, timings: { ...FAST, ...setup.timings }, log }, joined.trusted, joined.node);
    await agent.run(stop.signal);
  }

  const end = async () => {
    stop.abort();
    await done.catch(() => undefined);
  };
  return {
    dir,
    kernel,
    state,
    log: lines,
    done,
    stop: end,
    async remove() {
      await end();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
