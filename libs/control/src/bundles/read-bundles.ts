import type { TenantContext } from '@palisade/tenancy';
import type { ClusterRepository } from '../clusters/cluster.ts';
import { reachCluster } from '../clusters/reach-cluster.ts';
import type { Page, PageRequest } from '../page.ts';
import type { UnitOfWork } from '../unit-of-work.ts';
import type { BundleRecord, BundleRepository } from './bundle.ts';

export interface BundleRepositories {
  readonly clusters: ClusterRepository;
  readonly bundles: BundleRepository;
}

/** Reads the bundles of a cluster with the generations they were sealed under. */
export class ReadBundles {
  readonly #unitOfWork: UnitOfWork<BundleRepositories>;

  constructor(ports: { readonly unitOfWork: UnitOfWork<BundleRepositories> }) {
    this.#unitOfWork = ports.unitOfWork;
  }

  list(context: TenantContext, clusterId: string, page: PageRequest): Promise<Page<BundleRecord & { readonly generations: readonly string[] }>> {
    return this.#unitOfWork.run(context, async ({ clusters, bundles }) => {
      const cluster = await reachCluster(context, clusters, clusterId);
      return bundles.list(cluster.id, page);
    });
  }
}
