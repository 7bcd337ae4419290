import type { TenantContext } from '@palisade/tenancy';
import { namespaceScopeCondition, type Parameters } from './flow-filter-sql.ts';

/** Conditions on `palisade.flow f`: what the actor may see, and which cluster was asked for. */
export function visibleFlows(context: TenantContext, clusterId: string | undefined, parameters: Parameters): string[] {
  const { clusters, namespaces } = context.actor.scope;
  const wanted = clusterId !== undefined ? [clusterId] : clusters === 'all' ? undefined : clusters;
  return [
    ...(wanted === undefined ? [] : [parameters.among('f.observer_id', 'flow_observer', `p.cluster_id = ANY (${parameters.add(wanted)}::uuid[])`)]),
    ...(clusterId === undefined || clusters === 'all' || clusters.includes(clusterId) ? [] : ['false']),
    ...(namespaces === 'all' ? [] : [namespaceScopeCondition(namespaces, parameters)]),
  ];
}
