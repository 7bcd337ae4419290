import { DomainError } from '@palisade/errors';
import { scopeHasCluster, type TenantContext } from '@palisade/tenancy';
import { isUuid } from '../uuid.ts';
import type { Cluster, ClusterRepository } from './cluster.ts';

/**
 * The cluster, when it exists in the tenant and in the actor's scope. Otherwise `resource.not-found`, the same in
 * both cases: an answer must not tell what exists elsewhere.
 */
export async function reachCluster(
  context: TenantContext,
  clusters: ClusterRepository,
  id: string,
  lock: 'read' | 'update' = 'read',
): Promise<Cluster> {
  const visible = isUuid(id) && scopeHasCluster(context.actor.scope, id.toLowerCase());
  const cluster = visible ? await (lock === 'update' ? clusters.findForUpdate(id) : clusters.find(id)) : undefined;
  if (cluster === undefined) throw new DomainError('resource.not-found', `There is no cluster ${id}.`);
  return cluster;
}
