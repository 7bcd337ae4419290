import type { NodeRolloutState } from '@palisade/rollout';
import type { TenantContext } from '@palisade/tenancy';
import { reachCluster } from '../clusters/reach-cluster.ts';
import type { ValidationReport } from '../bundles/validation.ts';
import type { Page, PageRequest } from '../page.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { Rollout, RolloutEventRecord, RolloutNode, RolloutRepositories, RolloutWave } from './rollout.ts';
import { reachRollout } from './steer-rollout.ts';

export interface RolloutDetail {
  readonly rollout: Rollout;
  readonly waves: readonly RolloutWave[];
  /** When the rest will be done if it goes on as so far; null while nothing can be said. */
  readonly etaMs: number | null;
  /** What VALIDATING found; null before. */
  readonly validation: ValidationReport | null;
}

/** Reads rollouts with the progress of their waves and nodes. */
export class ReadRollouts {
  readonly #unitOfWork: UnitOfWork<RolloutRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<RolloutRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  list(context: TenantContext, clusterId: string, page: PageRequest): Promise<Page<Rollout>> {
    return this.#unitOfWork.run(context, async ({ clusters, rollouts }) => {
      const cluster = await reachCluster(context, clusters, clusterId);
      return rollouts.list(cluster.id, page);
    });
  }

  get(context: TenantContext, clusterId: string, id: string): Promise<RolloutDetail> {
    return this.#unitOfWork.run(context, async ({ rollouts }) => {
      const rollout = await reachRollout(context, rollouts, clusterId, id);
      const waves = await rollouts.listWaves(rollout.id);
      const validation = (await rollouts.validation(rollout.id)) ?? null;
      return { rollout, waves, etaMs: estimate(rollout, waves, (await rollouts.now()).getTime()), validation };
    });
  }

  nodes(context: TenantContext, clusterId: string, id: string, page: PageRequest & { readonly state?: NodeRolloutState }): Promise<Page<RolloutNode>> {
    return this.#unitOfWork.run(context, async ({ rollouts }) => {
      const rollout = await reachRollout(context, rollouts, clusterId, id);
      return rollouts.listNodes(rollout.id, page);
    });
  }

  events(context: TenantContext, clusterId: string, id: string, page: PageRequest): Promise<Page<RolloutEventRecord>> {
    return this.#unitOfWork.run(context, async ({ rollouts }) => {
      const rollout = await reachRollout(context, rollouts, clusterId, id);
      return rollouts.listEvents(rollout.id, page);
    });
  }
}

/** Time per passed wave so far, times the waves that are left. */
function estimate(rollout: Rollout, waves: readonly RolloutWave[], nowMs: number): number | null {
  const passed = waves.filter((wave) => wave.state === 'passed').length;
  if (rollout.state !== 'running' || rollout.startedAt === null || passed === 0) return null;
  return Math.round(((nowMs - rollout.startedAt.getTime()) / passed) * (waves.length - passed));
}
