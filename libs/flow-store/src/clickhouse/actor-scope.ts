import type { TenantContext } from '@palisade/tenancy';
import type { TenantQuestion } from './tenant-question.ts';

/** Clusters the question may be about; undefined: all of the tenant. */
export function clustersOf({ actor }: TenantContext, clusterId: string | undefined): readonly string[] | undefined {
  const { clusters } = actor.scope;
  if (clusterId === undefined) return clusters === 'all' ? undefined : clusters;
  return clusters === 'all' || clusters.includes(clusterId) ? [clusterId] : [];
}

/** Condition on `cluster_id`. */
export function clusterCondition(context: TenantContext, clusterId: string | undefined, question: TenantQuestion): string[] {
  const wanted = clustersOf(context, clusterId);
  return wanted === undefined ? [] : [`has(${question.add('Array(String)', wanted.map((id) => id.toLowerCase()))}, toString(cluster_id))`];
}

/** Namespaces an actor is bound to: one of the ends must lie in them. */
export function namespaceCondition({ actor }: TenantContext, question: TenantQuestion): string[] {
  const { namespaces } = actor.scope;
  if (namespaces === 'all') return [];
  const lies = (end: string): string => question.within(end, 'id', 'flow_peer', [`isNotNull(namespace) AND has(${question.add('Array(String)', namespaces)}, assumeNotNull(namespace))`]);
  return [`${lies('source_id')} OR ${lies('destination_id')}`];
}
