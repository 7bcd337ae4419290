import type { BundleRepositories, EnrollmentRepositories, NodeRepositories, RolloutRepositories } from '@palisade/control';
import { postgresBundles } from './bundles/bundle-repository.ts';
import { postgresNodeCertificates, postgresNodeEnrollment, postgresRecovery } from './enrollment/node-enrollment-repository.ts';
import { postgresEnrollmentTokens } from './enrollment/token-repository.ts';
import { postgresNodes } from './fleet/node-repository.ts';
import { clusterRepositories } from './platform-repositories.ts';
import { postgresPolicyApprovals } from './policies/policy-approval-repository.ts';
import { postgresRollouts } from './rollouts/rollout-repository.ts';
import type { TenantSession } from './session.ts';

export function enrollmentRepositories(session: TenantSession): EnrollmentRepositories {
  return {
    ...clusterRepositories(session),
    enrollmentTokens: postgresEnrollmentTokens(session),
    nodeEnrollment: postgresNodeEnrollment(session),
    nodeCertificates: postgresNodeCertificates(session),
    recovery: postgresRecovery(session),
  };
}

export function nodeRepositories(session: TenantSession): NodeRepositories {
  return { ...clusterRepositories(session), nodes: postgresNodes(session) };
}

export function bundleRepositories(session: TenantSession): BundleRepositories {
  return { ...clusterRepositories(session), bundles: postgresBundles(session) };
}

export function rolloutRepositories(session: TenantSession): RolloutRepositories {
  return { ...clusterRepositories(session), bundles: postgresBundles(session), rollouts: postgresRollouts(session), approvals: postgresPolicyApprovals(session) };
}
