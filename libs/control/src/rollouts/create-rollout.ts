import { DomainError } from '@palisade/errors';
import { DEFAULT_GATE, DEFAULT_WAVES, transitionRollout, type GatePolicy, type MaintenanceWindow, type WaveStrategy } from '@palisade/rollout';
import type { TenantContext } from '@palisade/tenancy';
import { reachCluster } from '../clusters/reach-cluster.ts';
import { requireApproved } from '../policies/approval.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { Rollout, RolloutRepositories } from './rollout.ts';

export interface CreateRolloutInput {
  readonly clusterId: string;
  /** The newest revision when absent. 0 is the empty policy set. */
  readonly policyRevision?: number;
  /** A revision to evaluate beside it: where it would decide otherwise, flows say so. */
  readonly shadowPolicyRevision?: number;
  readonly channel?: string;
  readonly strategy?: WaveStrategy;
  readonly gate?: Partial<GatePolicy>;
  readonly windows?: readonly MaintenanceWindow[];
  readonly leaseMs?: number;
  /** Nodes in flight at the same time. */
  readonly maxInFlight?: number;
  /** Takes the place of an active rollout instead of being refused. */
  readonly supersede?: boolean;
}

export const DEFAULT_LEASE_MS = 60_000;

/**
 * Asks for a policy revision to be rolled out. The worker validates, seals and opens the waves.
 * @throws DomainError `resource.conflict` while another rollout of the channel is active and `supersede` is not set, and
 *   when the cluster asks for approval and the revision has none
 */
export class CreateRollout {
  readonly #unitOfWork: UnitOfWork<RolloutRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<RolloutRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  execute(context: TenantContext, input: CreateRolloutInput): Promise<Rollout> {
    return this.#unitOfWork.run(context, async (repositories) => {
      const { clusters, rollouts, approvals, audit, wakeUp } = repositories;
      const cluster = await reachCluster(context, clusters, input.clusterId, 'read');
      const policyRevision = input.policyRevision ?? cluster.policyRevision;
      if (policyRevision > cluster.policyRevision) {
        throw new DomainError('request.invalid', `Cluster ${cluster.name} has no policy revision ${policyRevision}; the newest is ${cluster.policyRevision}.`, { pointer: '/policyRevision' });
      }
      const shadow = input.shadowPolicyRevision ?? null;
      if (shadow !== null && shadow > cluster.policyRevision) {
        throw new DomainError('request.invalid', `Cluster ${cluster.name} has no policy revision ${shadow}; the newest is ${cluster.policyRevision}.`, { pointer: '/shadowPolicyRevision' });
      }
      // What is evaluated in shadow decides nothing: only the live revision needs approval.
      await requireApproved(cluster, policyRevision, approvals);
      const channel = input.channel ?? 'stable';
      if (input.supersede === true) await this.#supersede(repositories, cluster.id, channel);
      const rollout = await rollouts.insert({
        clusterId: cluster.id,
        channel,
        policyRevision,
        shadowPolicyRevision: shadow,
        revertOf: null,
        bundleId: null,
        strategy: input.strategy ?? DEFAULT_WAVES,
        gate: { ...DEFAULT_GATE, ...input.gate },
        windows: input.windows ?? [],
        leaseMs: input.leaseMs ?? DEFAULT_LEASE_MS,
        maxInFlight: input.maxInFlight ?? null,
        createdBy: context.actor.id,
      });
      await rollouts.record(rollout.id, [{ kind: 'created', detail: `Policy revision ${policyRevision}${shadow === null ? '' : `, with revision ${shadow} in shadow`}.` }]);
      await wakeUp.notify('outbox', { cluster: cluster.id });
      await audit.append({
        action: 'rollout.created',
        target: { kind: 'rollout', id: rollout.id },
        summary: `Created a rollout of policy revision ${policyRevision} to cluster ${cluster.name}.`,
        details: { clusterId: cluster.id, policyRevision, ...(shadow !== null && { shadowPolicyRevision: shadow }) },
      });
      return rollout;
    });
  }

  async #supersede({ rollouts }: RolloutRepositories, clusterId: string, channel: string): Promise<void> {
    const active = await rollouts.findActive(clusterId, channel);
    if (active === undefined) return;
    const step = transitionRollout(active.state, { kind: 'supersede' });
    if (!step.ok) throw new DomainError('resource.conflict', step.refusal);
    if (!(await rollouts.swap(active, { state: step.state, reason: 'A newer rollout took its place.' }))) {
      throw new DomainError('resource.conflict', 'The active rollout has just changed. Read it again, then decide.');
    }
    await rollouts.supersedeNodes(active.id);
    await rollouts.record(active.id, [{ kind: 'superseded' }]);
  }
}
