import { advanceRollout, IN_FLIGHT_NODE_STATES, planWaves, transitionNode, transitionRollout, type AdvanceDecision, type DenyDelta, type RolloutEvent } from '@palisade/rollout';
import type { TenantContext } from '@palisade/tenancy';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { SealBundle } from '../bundles/seal-bundle.ts';
import type { AssignWave } from './assign-wave.ts';
import type { DenyDeltaSource } from './deny-delta-source.ts';
import type { Rollout, RolloutChange, RolloutRepositories, RolloutRepository } from './rollout.ts';
import { takeReports } from './take-reports.ts';

/** A node that was not heard of for this long is offline: its held check-in would have ended several times. */
const ONLINE_MS = 180_000;
/** Steps of one call; more wait for the next one, so that one rollout does not keep a worker. */
const MAX_STEPS = 32;

/** Approvals are asked for when a rollout is created; carrying it out needs none. */
type StepRepositories = Omit<RolloutRepositories, 'approvals'>;

type StepResult = 'again' | 'wait' | 'done';

/**
 * Moves a rollout on by what is stored, one compare-and-swap at a time, each in a transaction of its own: a worker
 * that dies anywhere is resumed by the next call, and two workers at once change nothing twice.
 */
export class AdvanceRollout {
  readonly #ports: { readonly unitOfWork: UnitOfWork<StepRepositories>; readonly sealBundle: SealBundle; readonly assignWave: AssignWave; readonly denyDelta: DenyDeltaSource | null };

  constructor(ports: { readonly unitOfWork: UnitOfWork<StepRepositories>; readonly sealBundle: SealBundle; readonly assignWave: AssignWave; readonly denyDelta: DenyDeltaSource | null }) {
    this.#ports = ports;
  }

  /** @returns `done` when nothing is left to do, `wait` for reports, the clock or a person */
  async execute(context: TenantContext, rolloutId: string): Promise<'wait' | 'done'> {
    for (let step = 0; step < MAX_STEPS; step += 1) {
      const result = await this.#step(context, rolloutId);
      if (result !== 'again') return result;
    }
    return 'wait';
  }

  async #step(context: TenantContext, rolloutId: string): Promise<StepResult> {
    const rollout = await this.#ports.unitOfWork.run(context, ({ rollouts }) => rollouts.find(rolloutId));
    switch (rollout?.state) {
      case 'draft':
        return this.#transition(context, rollout, { kind: 'validate' });
      case 'validating':
        return this.#seal(context, rollout);
      case 'ready':
        return this.#start(context, rollout);
      case 'running':
        return this.#run(context, rollout);
      case 'rolling_back':
        return this.#finishRollback(context, rollout);
      default:
        return 'done';
    }
  }

  #transition(context: TenantContext, rollout: Rollout, event: RolloutEvent): Promise<StepResult> {
    return this.#ports.unitOfWork.run<StepResult>(context, async (repositories) => {
      await apply(repositories, rollout, event);
      return 'again';
    });
  }

  /** Compiles, validates and signs outside a transaction, then stores all of it with the step to READY, or why not. */
  async #seal(context: TenantContext, rollout: Rollout): Promise<StepResult> {
    const candidate = await this.#ports.sealBundle.prepare(context, rollout);
    return this.#ports.unitOfWork.run<StepResult>(context, async (repositories) => {
      const fresh = await repositories.rollouts.findForUpdate(rollout.id);
      if (fresh === undefined || fresh.version !== rollout.version) return 'again';
      if (!candidate.ok) {
        await apply(repositories, fresh, { kind: 'validation-failed', reason: candidate.reason }, candidate.report && { validation: candidate.report });
        return 'done';
      }
      const { bundleId, generation } = await this.#ports.sealBundle.store(repositories.bundles, fresh, candidate);
      await apply(repositories, fresh, { kind: 'validated' }, { bundleId, generation, validation: candidate.report });
      return 'again';
    });
  }

  #start(context: TenantContext, rollout: Rollout): Promise<StepResult> {
    return this.#ports.unitOfWork.run<StepResult>(context, async (repositories) => {
      const fresh = await repositories.rollouts.findForUpdate(rollout.id);
      if (fresh?.state !== 'ready') return 'again';
      const fleet = await repositories.rollouts.fleet(fresh.clusterId, ONLINE_MS);
      await repositories.rollouts.insertWaves(fresh.id, planWaves(fleet, fresh.strategy, fresh.id));
      await apply(repositories, fresh, { kind: 'start' });
      return 'again';
    });
  }

  async #run(context: TenantContext, read: Rollout): Promise<StepResult> {
    const rolloutId = read.id;
    const denyDelta = read.gate.maxDenyDelta === null ? null : await measured(this.#ports.denyDelta, context, rolloutId);
    return this.#ports.unitOfWork.run<StepResult>(context, async (repositories) => {
      const { rollouts } = repositories;
      const rollout = await rollouts.findForUpdate(rolloutId);
      if (rollout?.state !== 'running' || rollout.target === null) return 'again';
      const nowMs = (await rollouts.now()).getTime();
      const more = await takeReports(rollouts, rollout, nowMs);
      await expireLeases(rollouts, rollout, nowMs);
      await quarantine(rollouts, rollout, nowMs);
      const waves = await rollouts.listWaves(rollout.id);
      const current = waves.find((wave) => wave.state === 'open' || wave.state === 'baking');
      // Nodes that were given back by a pause, or asked again by a resume, are offered again.
      if (current !== undefined && current.counts.pending > 0) await this.#offerWave(context, repositories, rollout, current.index, nowMs);
      const decisions = advanceRollout({ ...rollout, waves: waves.map((wave) => ({ ...wave, denyDelta })) }, nowMs);
      for (const decision of decisions) await this.#carryOut(context, repositories, rollout, decision, nowMs);
      return decisions.length > 0 || more ? 'again' : 'wait';
    });
  }

  async #carryOut(context: TenantContext, repositories: StepRepositories, rollout: Rollout, decision: AdvanceDecision, nowMs: number): Promise<void> {
    const { rollouts, audit } = repositories;
    switch (decision.kind) {
      case 'open-wave': {
        await rollouts.swapWave(rollout.id, decision.index, 'pending', { state: 'open', openedAtMs: nowMs, bakingSinceMs: null }, null);
        await rollouts.record(rollout.id, [{ kind: 'wave-opened', waveIndex: decision.index }]);
        await this.#offerWave(context, repositories, rollout, decision.index, nowMs);
        return;
      }
      case 'store-wave': {
        const from = (await rollouts.listWaves(rollout.id)).find((wave) => wave.index === decision.index)!.state;
        await rollouts.swapWave(rollout.id, decision.index, from, decision.progress, decision.reason);
        await rollouts.record(rollout.id, [{ kind: `wave-${decision.progress.state}`, waveIndex: decision.index, detail: decision.reason }]);
        return;
      }
      case 'pause':
      case 'halt':
        await apply(repositories, rollout, { kind: decision.kind, reason: decision.reason });
        await audit.append({
          action: `rollout.${decision.kind === 'halt' ? 'halted' : 'paused'}`,
          outcome: 'failure',
          target: { kind: 'rollout', id: rollout.id },
          summary: `The rollout ${decision.kind === 'halt' ? 'halted' : 'paused'} by itself: ${decision.reason}`,
        });
        return;
      case 'succeed':
        await apply(repositories, rollout, { kind: 'waves-passed' });
        await this.#ports.assignWave.adopt(context, repositories.rollouts, rollout);
        await audit.append({
          action: 'rollout.succeeded',
          target: { kind: 'rollout', id: rollout.id },
          summary: `The rollout of policy revision ${rollout.policyRevision} succeeded on every wave.`,
        });
    }
  }

  async #offerWave(context: TenantContext, { rollouts, wakeUp }: StepRepositories, rollout: Rollout, index: number, nowMs: number): Promise<void> {
    const waiting = withinLimit(await rollouts.waiting(rollout.id, index, ONLINE_MS), await freePlaces(rollouts, rollout, index));
    if (waiting.length === 0) return;
    const next = waiting.map((node) => ({ node, progress: transitionNode(node, node.online ? { kind: 'offer', leaseMs: rollout.leaseMs } : { kind: 'skip-offline' }, nowMs).progress }));
    const offered = next.filter(({ progress }) => progress.state === 'offered').map(({ node }) => node);
    await this.#ports.assignWave.execute(context, rollouts, { clusterId: rollout.clusterId, rolloutId: rollout.id, target: rollout.target!, nodes: offered });
    await rollouts.storeNodes(rollout.id, next.map(({ node, progress }) => ({ nodeId: node.nodeId, ...progress, change: 0 })));
    await wakeUp.notify('desired', { cluster: rollout.clusterId });
  }

  /** The undone rollout is rolled back once the one that undoes it has settled. */
  #finishRollback(context: TenantContext, rollout: Rollout): Promise<StepResult> {
    return this.#ports.unitOfWork.run<StepResult>(context, async (repositories) => {
      const undoing = await repositories.rollouts.findRevertOf(rollout.id);
      if (undoing === undefined || undoing.state !== 'succeeded') return 'wait';
      const fresh = await repositories.rollouts.findForUpdate(rollout.id);
      if (fresh?.state === 'rolling_back') await apply(repositories, fresh, { kind: 'rolled-back' });
      return 'done';
    });
  }
}

/** An evaluator error is no measurement, and no measurement never passes a gate. */
async function measured(source: DenyDeltaSource | null, context: TenantContext, rolloutId: string): Promise<DenyDelta> {
  if (source === null) return { kind: 'unmeasured', why: 'no flow store is connected' };
  try {
    return await source.measure(context, rolloutId);
  } catch (error) {
    return { kind: 'unmeasured', why: error instanceof Error ? error.message : String(error) };
  }
}

async function apply(repositories: StepRepositories, rollout: Rollout, event: RolloutEvent, sealed: Omit<RolloutChange, 'state' | 'reason'> = {}): Promise<void> {
  const { rollouts, wakeUp } = repositories;
  const step = transitionRollout(rollout.state, event);
  if (!step.ok) throw new Error(step.refusal);
  if (!(await rollouts.swap(rollout, { state: step.state, reason: step.reason, ...sealed }))) return;
  await rollouts.record(rollout.id, [{ kind: step.state, detail: step.reason ?? '' }]);
  for (const decision of step.decisions) {
    if (decision.kind === 'withdraw-offers') await rollouts.withdraw(rollout.id);
    if (decision.kind === 'withdraw-offers' || decision.kind === 'adopt-generation') await wakeUp.notify('desired', { cluster: rollout.clusterId });
  }
}

async function expireLeases(rollouts: RolloutRepository, rollout: Rollout, nowMs: number): Promise<void> {
  const expired = (await rollouts.expired(rollout.id)).map((node) => ({ nodeId: node.nodeId, ...transitionNode(node, { kind: 'tick' }, nowMs).progress }));
  await rollouts.storeNodes(rollout.id, expired);
}

/** A locked or revoked node is told nothing any more: it leaves the rollout and gives its place back. */
async function quarantine(rollouts: RolloutRepository, rollout: Rollout, nowMs: number): Promise<void> {
  const nodes = await rollouts.quarantined(rollout.id);
  await rollouts.storeNodes(rollout.id, nodes.map(({ nodeId, nodeState, ...node }) => ({ nodeId, ...transitionNode(node, { kind: 'quarantine', state: nodeState }, nowMs).progress })));
}

/** How many more nodes of a wave may be offered now. */
async function freePlaces(rollouts: RolloutRepository, { id, maxInFlight }: Rollout, index: number): Promise<number> {
  if (maxInFlight === null) return Number.POSITIVE_INFINITY;
  const counts = (await rollouts.listWaves(id)).find((wave) => wave.index === index)!.counts;
  return Math.max(0, maxInFlight - IN_FLIGHT_NODE_STATES.reduce((sum, state) => sum + counts[state], 0));
}

/** Nodes that are offline take no place: they are skipped. */
function withinLimit<T extends { readonly online: boolean }>(nodes: readonly T[], places: number): readonly T[] {
  let left = places;
  return nodes.filter(({ online }) => !online || left-- > 0);
}
