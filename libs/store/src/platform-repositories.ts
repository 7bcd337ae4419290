import type { ApiTokenRepositories, ApprovalRepositories, AuditRepositories, ClusterRepositories, VerdictRepositories } from '@palisade/control';
import { postgresAuditCheckpoints } from './audit/audit-checkpoint-repository.ts';
import { postgresAuditEvents } from './audit/audit-event-repository.ts';
import { postgresAuditLog } from './audit/audit-log.ts';
import { postgresClusters } from './clusters/cluster-repository.ts';
import { postgresClusterFacts } from './policies/cluster-facts.ts';
import { postgresPolicyApprovals } from './policies/policy-approval-repository.ts';
import { postgresPolicies } from './policies/policy-repository.ts';
import type { TenantSession } from './session.ts';
import { postgresApiTokens } from './tokens/api-token-repository.ts';
import { postgresWakeUp } from './wake-up.ts';

export function clusterRepositories(session: TenantSession): ClusterRepositories {
  return { clusters: postgresClusters(session), audit: postgresAuditLog(session), wakeUp: postgresWakeUp(session) };
}

/** Serves the use cases of policies and of verdicts. */
export function policyRepositories(session: TenantSession): VerdictRepositories & ApprovalRepositories {
  return { ...clusterRepositories(session), policies: postgresPolicies(session), approvals: postgresPolicyApprovals(session), facts: postgresClusterFacts(session) };
}

export function apiTokenRepositories(session: TenantSession): ApiTokenRepositories {
  return { apiTokens: postgresApiTokens(session), audit: postgresAuditLog(session) };
}

export function auditRepositories(session: TenantSession): AuditRepositories {
  return { auditEvents: postgresAuditEvents(session), auditCheckpoints: postgresAuditCheckpoints(session), audit: postgresAuditLog(session) };
}
