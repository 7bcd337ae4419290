/**
 * - `owner`: everything, including tokens
 * - `security-admin`: policy and approvals
 * - `platform-operator`: clusters, enrollment, rollouts
 * - `app-team`: policy and flows of its own namespaces
 * - `auditor`: reads everything, exports
 * - `viewer`: reads what is not sensitive
 */
export const ROLES = ['owner', 'security-admin', 'platform-operator', 'app-team', 'auditor', 'viewer'] as const;

export type Role = (typeof ROLES)[number];
