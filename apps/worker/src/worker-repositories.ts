import {
  postgresAuditLog,
  postgresBundles,
  postgresClusterNames,
  postgresClusters,
  postgresDelivery,
  postgresEnrollmentTokens,
  postgresEpochs,
  postgresIdentities,
  postgresLocalActs,
  postgresNodeCertificates,
  postgresNodeEnrollment,
  postgresPolicies,
  postgresRecovery,
  postgresPolicyApprovals,
  postgresRollouts,
  postgresWakeUp,
  type TenantSession,
} from '@palisade/store';

/** Everything that the use cases of the worker reach, in one transaction of one tenant. */
export function workerRepositories(session: TenantSession) {
  const identities = postgresIdentities(session);
  return {
    clusters: postgresClusters(session),
    enrollmentTokens: postgresEnrollmentTokens(session),
    nodeEnrollment: postgresNodeEnrollment(session),
    nodeCertificates: postgresNodeCertificates(session),
    recovery: postgresRecovery(session),
    localActs: postgresLocalActs(session),
    identities,
    clusterNames: postgresClusterNames(session),
    policies: postgresPolicies(session),
    bundles: postgresBundles(session),
    delivery: postgresDelivery(session),
    epochs: postgresEpochs(session),
    rollouts: postgresRollouts(session),
    approvals: postgresPolicyApprovals(session),
    facts: { read: (clusterId: string) => identities.facts(clusterId, 0) },
    audit: postgresAuditLog(session),
    wakeUp: postgresWakeUp(session),
  };
}
