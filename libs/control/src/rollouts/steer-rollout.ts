import { DomainError } from '@palisade/errors';
import { transitionRollout, type RolloutEvent } from '@palisade/rollout';
import { scopeHasCluster, type TenantContext } from '@palisade/tenancy';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { Rollout, RolloutRepositories, RolloutRepository } from './rollout.ts';

export type SteerCommand = 'halt' | 'pause' | 'resume' | 'cancel' | 'roll-back';

const PAST: Readonly<Record<SteerCommand, string>> = { halt: 'halted', pause: 'paused', resume: 'resumed', cancel: 'canceled', 'roll-back': 'roll-back-requested' };

/**
 * What a person does to a rollout that exists. A change takes effect with the transaction: after a halt has committed
 * no node is offered the generation any more.
 * @throws DomainError `resource.not-found`, `resource.conflict` when the state does not allow it
 */
export class SteerRollout {
  readonly #unitOfWork: UnitOfWork<RolloutRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<RolloutRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  /** Answers the rollout that was steered; for `roll-back`, the new rollout that brings the former content back. */
  execute(context: TenantContext, clusterId: string, id: string, command: SteerCommand, reason?: string): Promise<Rollout> {
    return this.#unitOfWork.run(context, async (repositories) => {
      const { rollouts, audit, wakeUp } = repositories;
      const rollout = await reachRollout(context, rollouts, clusterId, id, 'update');
      const step = transitionRollout(rollout.state, eventOf(command, reason ?? `Asked for by ${context.actor.name}.`));
      if (!step.ok) throw new DomainError('resource.conflict', step.refusal);
      if (!(await rollouts.swap(rollout, { state: step.state, reason: step.reason }))) {
        throw new DomainError('resource.conflict', 'The rollout has just changed. Read it again, then decide.');
      }
      if (command === 'halt' && rollout.state === 'rolling_back') await haltUndoing(context, repositories, rollout);
      for (const decision of step.decisions) {
        if (decision.kind === 'withdraw-offers') await rollouts.withdraw(rollout.id);
        if (decision.kind === 'renew-offers') await renewOffers(rollouts, rollout);
      }
      await rollouts.record(rollout.id, [{ kind: PAST[command], detail: step.reason ?? '' }]);
      const answer = command === 'roll-back' ? await createRollback(context, repositories, rollout) : await rollouts.find(rollout.id);
      await wakeUp.notify('outbox', { cluster: rollout.clusterId });
      await wakeUp.notify('desired', { cluster: rollout.clusterId });
      await audit.append({
        action: `rollout.${PAST[command]}`,
        target: { kind: 'rollout', id: rollout.id },
        summary: `${context.actor.name} asked to ${command} the rollout of policy revision ${rollout.policyRevision}.`,
        details: { clusterId: rollout.clusterId, from: rollout.state, to: step.state },
      });
      return answer!;
    });
  }
}

function eventOf(command: SteerCommand, reason: string): RolloutEvent {
  return command === 'halt' || command === 'pause' ? { kind: command, reason } : { kind: command };
}

/** Halting a rollback halts the rollout that carries it out: nothing is offered afterwards. */
async function haltUndoing(context: TenantContext, { rollouts }: RolloutRepositories, rollout: Rollout): Promise<void> {
  const found = await rollouts.findRevertOf(rollout.id);
  const undoing = found && (await rollouts.findForUpdate(found.id));
  if (undoing === undefined) return;
  const step = transitionRollout(undoing.state, { kind: 'halt', reason: `Rollout ${rollout.id}, which it undoes, was halted by ${context.actor.name}.` });
  if (!step.ok || !(await rollouts.swap(undoing, { state: step.state, reason: step.reason }))) return;
  await rollouts.withdraw(undoing.id);
  await rollouts.record(undoing.id, [{ kind: 'halted', detail: step.reason ?? '' }]);
}

/** Nodes that went silent are asked again; the worker offers them with the next step. */
async function renewOffers(rollouts: RolloutRepository, rollout: Rollout): Promise<void> {
  const silent = await rollouts.silent(rollout.id);
  await rollouts.storeNodes(rollout.id, silent.map(({ nodeId }) => ({ nodeId, state: 'pending', leaseUntilMs: null, reason: null })));
}

/** A rollback is a new, higher generation that points at old bytes (trust-and-fleet §2); everybody gets it at once. */
async function createRollback(context: TenantContext, { rollouts }: RolloutRepositories, undone: Rollout): Promise<Rollout> {
  const before = await rollouts.bundleBefore(undone);
  if (before === undefined) throw new DomainError('resource.conflict', 'Nothing ran on this cluster before this rollout, so there is nothing to roll back to.');
  const active = await rollouts.findActive(undone.clusterId, undone.channel);
  if (active !== undefined) throw new DomainError('resource.conflict', `Rollout ${active.id} is active; halt or finish it before rolling back an older one.`);
  const created = await rollouts.insert({
    clusterId: undone.clusterId,
    channel: undone.channel,
    policyRevision: before.policyRevision,
    shadowPolicyRevision: before.shadowPolicyRevision,
    revertOf: undone.id,
    bundleId: before.bundleId,
    strategy: { kind: 'sizes', sizes: [{ fraction: 1 }] },
    gate: { ...undone.gate, bakeMs: 0, maxDenyDelta: null },
    windows: [],
    leaseMs: undone.leaseMs,
    maxInFlight: undone.maxInFlight,
    createdBy: context.actor.id,
  });
  await rollouts.record(created.id, [{ kind: 'created', detail: `Rolls back ${undone.id}.` }]);
  return created;
}

/** The rollout, when it is of this cluster and in the actor's scope; otherwise `resource.not-found`. */
export async function reachRollout(context: TenantContext, rollouts: RolloutRepository, clusterId: string, id: string, lock: 'read' | 'update' = 'read'): Promise<Rollout> {
  const visible = scopeHasCluster(context.actor.scope, clusterId.toLowerCase()) && UUID.test(id) && UUID.test(clusterId);
  const rollout = visible ? await (lock === 'update' ? rollouts.findForUpdate(id) : rollouts.find(id)) : undefined;
  if (rollout === undefined || rollout.clusterId !== clusterId.toLowerCase()) throw new DomainError('resource.not-found', `There is no rollout ${id}.`);
  return rollout;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
