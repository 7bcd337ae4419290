import { userInfo } from 'node:os';
import type { DatapathCounters } from './enforcer/enforcer.ts';
import { openEnforcer } from './enforcer-of-this-kernel.ts';
import { createLog } from './log.ts';
import { AgentLock } from './state/agent-lock.ts';
import type { AgentState } from './state/agent-state.ts';
import { delay } from './transport/delay.ts';

/**
 * `disable --for`: writes the wish; a running agent carries it out and ends it. Where no agent runs, this process does
 * both, so it stays until the time is over.
 */
export async function disableLocally(state: AgentState, pinRoot: string, forMs: number, stop: AbortSignal): Promise<void> {
  const untilMs = Date.now() + forMs;
  const until = new Date(untilMs).toISOString();
  state.saveDisabledUntil(untilMs);
  state.addLocalAct({ kind: 'disable', atMs: Date.now(), detail: `${userInfo().username} suspended enforcement until ${until}.` });
  process.stdout.write(`Enforcement is suspended until ${until}.\n`);
  if (AgentLock.held(state.dir)) return;
  process.stdout.write('No agent runs here: this command stays and ends the suspension. Ctrl-C ends it now.\n');
  const { enforcer } = await openEnforcer(pinRoot, createLog('warn'));
  await enforcer.disable();
  while (!stop.aborted && Date.now() < untilMs && !AgentLock.held(state.dir) && state.disabledUntilMs() !== undefined) await delay(500, stop);
  if (!AgentLock.held(state.dir)) {
    await enforcer.enable();
    state.saveDisabledUntil(undefined);
    state.addLocalAct({ kind: 'enable', atMs: Date.now(), detail: 'Enforcement is on again.' });
  }
  await enforcer.close();
}

/** `enable`: ends break-glass early. */
export async function enableLocally(state: AgentState, pinRoot: string): Promise<void> {
  if (state.disabledUntilMs() === undefined) {
    process.stdout.write('Enforcement was not suspended.\n');
    return;
  }
  state.saveDisabledUntil(undefined);
  state.addLocalAct({ kind: 'enable', atMs: Date.now(), detail: `${userInfo().username} ended break-glass.` });
  if (!AgentLock.held(state.dir)) {
    const { enforcer } = await openEnforcer(pinRoot, createLog('warn'));
    await enforcer.enable();
    await enforcer.close();
  }
  process.stdout.write('Enforcement is on again.\n');
}

/** `status`: what is on disk and what the kernel says. */
export async function printStatus(state: AgentState, pinRoot: string): Promise<void> {
  const { enforcer, kernel } = await openEnforcer(pinRoot, createLog('error'));
  const node = state.node();
  const { current, lastKnownGood, candidate, givenUp } = state.ledger();
  const disabledUntilMs = state.disabledUntilMs();
  const status = {
    agentRuns: AgentLock.held(state.dir),
    node: node && { id: node.nodeId, name: node.nodeName, tenant: node.tenantId, cluster: node.clusterId },
    bundles: { current, lastKnownGood, candidate, givenUp },
    running: await enforcer.running(),
    counters: countersView(await enforcer.counters()),
    identityRevision: state.facts()?.facts.identityRevision ?? 0,
    ...(disabledUntilMs !== undefined && { disabledUntil: new Date(disabledUntilMs).toISOString() }),
    kernel,
  };
  await enforcer.close();
  process.stdout.write(`${JSON.stringify(status, null, 2)}\n`);
}

/** JSON has no integers of 64 bits: as text. */
function countersView({ forwardedPackets, droppedPackets, auditedPackets }: DatapathCounters) {
  return { forwardedPackets: String(forwardedPackets), droppedPackets: String(droppedPackets), auditedPackets: String(auditedPackets) };
}

/** `uninstall`: the node is unprotected afterwards. @throws Error while an agent runs */
export async function uninstallLocally(state: AgentState, pinRoot: string): Promise<void> {
  if (AgentLock.held(state.dir)) throw new Error('An agent runs here. Stop it first.');
  const { enforcer } = await openEnforcer(pinRoot, createLog('warn'));
  await enforcer.uninstall();
  state.addLocalAct({ kind: 'uninstall', atMs: Date.now(), detail: `${userInfo().username} took the programs out of the kernel.` });
  process.stdout.write('All programs and maps of Palisade are gone from the kernel.\n');
}
