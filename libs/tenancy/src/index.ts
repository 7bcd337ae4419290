export { PERMISSIONS, rolesAllow, type Permission } from './permission.ts';
export { ROLES, type Role } from './role.ts';
export { scopeContains, scopeHasCluster, scopeHasNamespace, WHOLE_TENANT, type Scope } from './scope.ts';
export { systemContext, type Actor, type TenantContext } from './tenant-context.ts';
export { parseTenantId, type TenantId } from './tenant-id.ts';
