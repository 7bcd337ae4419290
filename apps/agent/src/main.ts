import { mkdirSync } from 'node:fs';
import { Agent, DEFAULT_TIMINGS } from './agent.ts';
import { describeNode } from './check-in/node-description.ts';
import { parseCommand, USAGE, type RunCommand } from './command-line.ts';
import { openSources } from './endpoints/open-sources.ts';
import { openEnforcer } from './enforcer-of-this-kernel.ts';
import { reasonOf } from './executor/bundle-executor.ts';
import { followingResolver } from './executor/following-resolver.ts';
import { joinFleet } from './join-fleet.ts';
import { disableLocally, enableLocally, printStatus, uninstallLocally } from './local-commands.ts';
import { createLog } from './log.ts';
import { AgentLock } from './state/agent-lock.ts';
import { AgentState } from './state/agent-state.ts';
import { Connector } from './transport/connector.ts';

async function main(argv: readonly string[], stop: AbortSignal): Promise<void> {
  const command = parseCommand(argv);
  mkdirSync(command.stateDir, { recursive: true, mode: 0o700 });
  const state = new AgentState(command.stateDir);
  switch (command.kind) {
    case 'run':
      return run(command, state, stop);
    case 'disable':
      return disableLocally(state, command.pinRoot, command.forMs, stop);
    case 'enable':
      return enableLocally(state, command.pinRoot);
    case 'status':
      return printStatus(state, command.pinRoot);
    case 'uninstall':
      return uninstallLocally(state, command.pinRoot);
  }
}

async function run(command: RunCommand, state: AgentState, stop: AbortSignal): Promise<void> {
  const log = createLog(command.logLevel);
  const lock = AgentLock.take(state.dir);
  try {
    state.sweep();
    const { enforcer, kernel, node } = await openEnforcer(command.pinRoot, log, command);
    const connector = new Connector({ gateway: command.gateway, state, now: Date.now, log });
    const joined = await joinFleet(
      {
        state,
        connector,
        describe: describeNode(kernel, state.node()?.nodeName),
        log,
        ...(command.enrollTokenFile !== undefined && { tokenFile: command.enrollTokenFile }),
        ...(command.trustPin !== undefined && { trustPin: command.trustPin }),
        ...(command.attest !== undefined && { attest: command.attest }),
      },
      stop,
    );
    if (joined === undefined) return;
    log.info('this node is enrolled', { nodeId: joined.node.nodeId, nodeName: joined.node.nodeName });
    const timings = {
      ...DEFAULT_TIMINGS,
      ...(command.healthWindowMs !== undefined && { healthWindowMs: command.healthWindowMs }),
      ...(command.commitTimeoutMs !== undefined && { commitTimeoutMs: command.commitTimeoutMs }),
    };
    const { source: endpoints, run: runSources } = openSources(command, node, log);
    const agent = new Agent({ state, connector, enforcer, kernel, resolve: followingResolver(), endpoints, now: Date.now, timings, log }, joined.trusted, joined.node);
    await Promise.all([agent.run(stop), runSources(stop)]);
  } finally {
    lock.release();
  }
}

const stopping = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopping.abort());
try {
  await main(process.argv.slice(2), stopping.signal);
} catch (error) {
  process.stderr.write(`${reasonOf(error)}\n`);
  if (process.argv.length < 3) process.stderr.write(USAGE);
  process.exitCode = 1;
}
