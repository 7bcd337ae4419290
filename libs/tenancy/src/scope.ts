/**
 * The part of the tenant that an actor may touch. `all` is explicit: an empty list means nothing,
 * so that a list that lost its elements never widens access.
 */
export interface Scope {
  readonly clusters: 'all' | readonly string[];
  readonly namespaces: 'all' | readonly string[];
}

export const WHOLE_TENANT: Scope = { clusters: 'all', namespaces: 'all' };

export function scopeHasCluster(scope: Scope, clusterId: string): boolean {
  return scope.clusters === 'all' || scope.clusters.includes(clusterId);
}

/** `undefined` stands for cluster-wide objects, which only an unrestricted scope holds. */
export function scopeHasNamespace(scope: Scope, namespace: string | undefined): boolean {
  if (scope.namespaces === 'all') return true;
  return namespace !== undefined && scope.namespaces.includes(namespace);
}

/** True when everything in `inner` is in `outer`: nobody hands out more than they hold. */
export function scopeContains(outer: Scope, inner: Scope): boolean {
  return listContains(outer.clusters, inner.clusters) && listContains(outer.namespaces, inner.namespaces);
}

function listContains(outer: 'all' | readonly string[], inner: 'all' | readonly string[]): boolean {
  if (outer === 'all') return true;
  return inner !== 'all' && inner.every((item) => outer.includes(item));
}
