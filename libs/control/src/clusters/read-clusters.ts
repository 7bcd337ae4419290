import type { TenantContext } from '@palisade/tenancy';
import type { Page, PageRequest } from '../page.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { Cluster, ClusterRepositories } from './cluster.ts';
import { reachCluster } from './reach-cluster.ts';

/** Reads the clusters in the actor's scope. */
export class ReadClusters {
  readonly #unitOfWork: UnitOfWork<ClusterRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<ClusterRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  list(context: TenantContext, page: PageRequest): Promise<Page<Cluster>> {
    const ids = context.actor.scope.clusters;
    return this.#unitOfWork.run(context, ({ clusters }) => clusters.list(ids === 'all' ? page : { ...page, ids }));
  }

  /** Throws `resource.not-found`. */
  get(context: TenantContext, id: string): Promise<Cluster> {
    return this.#unitOfWork.run(context, ({ clusters }) => reachCluster(context, clusters, id));
  }
}
