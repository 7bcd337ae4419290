import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import type { UnitOfWork } from '../unit-of-work.ts';
import { DEFAULT_CLUSTER_SETTINGS, type Cluster, type ClusterRepositories, type ClusterSettings } from './cluster.ts';

export interface CreateClusterInput {
  readonly name: string;
  readonly settings?: Partial<ClusterSettings>;
}

/** Registers a cluster. Throws `resource.conflict` when the name is taken, `auth.forbidden` for a cluster-bound actor. */
export class CreateCluster {
  readonly #unitOfWork: UnitOfWork<ClusterRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<ClusterRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  execute(context: TenantContext, input: CreateClusterInput): Promise<Cluster> {
    if (context.actor.scope.clusters !== 'all') {
      throw new DomainError('auth.forbidden', 'This token is bound to certain clusters, so it cannot create one. Use a token for all clusters.');
    }
    return this.#unitOfWork.run(context, async ({ clusters, audit }) => {
      const cluster = await clusters.insert({ name: input.name, settings: { ...DEFAULT_CLUSTER_SETTINGS, ...input.settings } });
      await audit.append({
        action: 'cluster.created',
        target: { kind: 'cluster', id: cluster.id, name: cluster.name },
        summary: `Created cluster ${cluster.name}.`,
      });
      return cluster;
    });
  }
}
