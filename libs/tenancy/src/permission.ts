import type { Role } from './role.ts';

const everyone: readonly Role[] = ['owner', 'security-admin', 'platform-operator', 'app-team', 'auditor', 'viewer'];
const policyAuthors: readonly Role[] = ['owner', 'security-admin', 'app-team'];
const operators: readonly Role[] = ['owner', 'platform-operator'];
const rolloutOperators: readonly Role[] = ['owner', 'security-admin', 'platform-operator'];
const auditors: readonly Role[] = ['owner', 'security-admin', 'auditor'];

/**
 * The one table of who may do what. A route declares a permission, one guard looks it up here.
 * What a role may touch inside a permission (clusters, namespaces) is the actor's scope.
 */
export const PERMISSIONS = {
  'tenant:read': everyone,
  'clusters:read': everyone,
  'clusters:write': operators,
  'enrollment-tokens:read': operators,
  'enrollment-tokens:write': operators,
  'nodes:read': everyone,
  'nodes:write': operators,
  'policies:read': everyone,
  'policies:write': policyAuthors,
  'policies:approve': ['owner', 'security-admin'],
  'verdicts:read': everyone,
  'bundles:read': everyone,
  'rollouts:read': everyone,
  'rollouts:write': rolloutOperators,
  'flows:read': everyone,
  'flows:export': auditors,
  'flow-privacy:write': ['owner', 'security-admin'],
  'flow-sinks:read': ['owner', 'security-admin', 'platform-operator', 'auditor'],
  'flow-sinks:write': ['owner', 'security-admin'],
  'audit:read': auditors,
  'audit:export': auditors,
  'api-tokens:read': ['owner', 'auditor'],
  'api-tokens:write': ['owner'],
} as const satisfies Record<string, readonly Role[]>;

export type Permission = keyof typeof PERMISSIONS;

/** True when one of the roles holds the permission. */
export function rolesAllow(roles: readonly Role[], permission: Permission): boolean {
  const holders: readonly Role[] = PERMISSIONS[permission];
  return roles.some((role) => holders.includes(role));
}
