import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { Cluster, ClusterRepositories, ClusterSettings } from './cluster.ts';
import { reachCluster } from './reach-cluster.ts';

export interface UpdateClusterInput {
  readonly id: string;
  readonly name?: string;
  readonly settings?: Partial<ClusterSettings>;
  /** The version the caller has read; another one now is `resource.stale`. */
  readonly expectedVersion?: number;
}

/** Changes name or settings. Throws `resource.not-found`, `resource.stale`, `resource.conflict` (name taken). */
export class UpdateCluster {
  readonly #unitOfWork: UnitOfWork<ClusterRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<ClusterRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  execute(context: TenantContext, input: UpdateClusterInput): Promise<Cluster> {
    return this.#unitOfWork.run(context, async ({ clusters, audit, wakeUp }) => {
      const before = await reachCluster(context, clusters, input.id, 'update');
      if (input.expectedVersion !== undefined && input.expectedVersion !== before.version) {
        throw new DomainError('resource.stale', `Cluster ${before.name} is at version ${before.version}, not ${input.expectedVersion}: read it again, then repeat the change.`);
      }
      const after = await clusters.update(before.id, {
        ...(input.name === undefined ? {} : { name: input.name }),
        settings: { ...before.settings, ...input.settings },
      });
      await wakeUp.notify('cluster', { cluster: after.id });
      await audit.append({
        action: 'cluster.updated',
        target: { kind: 'cluster', id: after.id, name: after.name },
        summary: `Changed ${changedFields(before, after).join(', ') || 'nothing'} of cluster ${before.name}.`,
        details: { versionBefore: before.version, versionAfter: after.version },
      });
      return after;
    });
  }
}

function changedFields(before: Cluster, after: Cluster): string[] {
  const settings = Object.keys(after.settings) as (keyof ClusterSettings)[];
  return [
    ...(before.name === after.name ? [] : ['name']),
    ...settings.filter((key) => before.settings[key] !== after.settings[key]),
  ];
}
