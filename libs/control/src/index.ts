export { AuthenticateToken, type Authentication, type OnRefused, type RequestOrigin } from './access/authenticate-token.ts';
export type { AuditEntry, AuditLog } from './audit/audit-log.ts';
export { ReadAudit, type AuditExport } from './audit/read-audit.ts';
export type { AuditCheckpointRepository, AuditEventRepository, AuditHead, AuditRepositories, StoredCheckpoint } from './audit/audit-event-repository.ts';
export { matchesAuditFilter, type AuditFilter } from './audit/audit-filter.ts';
export { WriteCheckpoint } from './audit/write-checkpoint.ts';
export { CreateCluster, type CreateClusterInput } from './clusters/create-cluster.ts';
export {
  DEFAULT_CLUSTER_SETTINGS,
  type Cluster,
  type ClusterRepositories,
  type ClusterRepository,
  type ClusterSettings,
} from './clusters/cluster.ts';
export { reachCluster } from './clusters/reach-cluster.ts';
export { ReadClusters } from './clusters/read-clusters.ts';
export { UpdateCluster, type UpdateClusterInput } from './clusters/update-cluster.ts';
export type { Page, PageRequest } from './page.ts';
export { requireApproved, type PolicyApproval, type PolicyApprovalRepository } from './policies/approval.ts';
export { ApprovePolicies, type ApprovalRepositories } from './policies/approve-policies.ts';
export { ApplyPolicies, type AppliedPolicies, type ApplyPoliciesInput, type PolicyChange, type PolicyParser } from './policies/apply-policies.ts';
export { AskVerdict, type AskVerdictInput, type ClusterFactsSource, type VerdictAnswer, type VerdictRepositories } from './policies/ask-verdict.ts';
export { parsePolicyText } from './policies/parse-policy-text.ts';
export type { Policy, PolicyFilter, PolicyRepositories, PolicyRepository, PolicyRevision, PolicyVersion } from './policies/policy.ts';
export { policyDigest, policySetDigest } from './policies/policy-digest.ts';
export { ReadPolicies } from './policies/read-policies.ts';
export { RemovePolicy } from './policies/remove-policy.ts';
export { ReadTenant, type Tenant, type TenantRepositories, type TenantRepository } from './tenant/read-tenant.ts';
export type { ApiToken, ApiTokenRepositories, ApiTokenRepository, NewApiToken, TokenCredentials, TokenDirectory } from './tokens/api-token.ts';
export { CreateApiToken, type CreateApiTokenInput } from './tokens/create-api-token.ts';
export { ReadApiTokens } from './tokens/read-api-tokens.ts';
export { RevokeApiToken } from './tokens/revoke-api-token.ts';
export { mintToken, parseToken, type TokenParts } from './tokens/token-text.ts';
export type { UnitOfWork } from './unit-of-work.ts';
export { isUuid } from './uuid.ts';
export type { WakeUp } from './wake-up.ts';
export type * from './flows/flow-store.ts';
export { FlowQuotas, NO_FLOW_QUOTA, type FlowQuota } from './flows/flow-quotas.ts';
export { DEFAULT_FLOW_INGEST, IngestFlowBatch, type FlowIngestAnswer, type FlowIngestFigures, type FlowIngestOptions, type FlowIngestOutcome } from './flows/ingest-flow-batch.ts';
export { CachedFlowPlans, type FlowPlan, type FlowPlanSource } from './flows/flow-plan.ts';
export { keptFlows } from './flows/kept-flows.ts';
export { CachedFlowPrivacy, ManageFlowPrivacy, type FlowPrivacyRepositories, type FlowPrivacyRepository, type FlowPrivacySetting, type FlowPrivacySource } from './flows/flow-privacy.ts';
export { DeliverFlows, type DeliverFlowsPorts } from './flows/deliver-flows.ts';
export type * from './flows/flow-sink.ts';
export { ManageFlowSinks, type FlowSinkChange, type FlowSinkInput } from './flows/manage-flow-sinks.ts';
export { ReadFlowMetrics } from './flows/read-flow-metrics.ts';
export { ReadFlows } from './flows/read-flows.ts';
export { SummarizeDns, type DnsSummary } from './flows/summarize-dns.ts';
export type { CertificateAuthority, IssuedCertificate, NodeIdentity } from './enrollment/certificate-authority.ts';
export { EnrollNode, type EnrollNodeInput } from './enrollment/enroll-node.ts';
export type * from './enrollment/enrollment.ts';
export { parseEnrollmentToken, type ParsedEnrollmentToken } from './enrollment/enrollment-token.ts';
export { ManageEnrollmentTokens, type CreateEnrollmentTokenInput } from './enrollment/manage-enrollment-tokens.ts';
export { RecoverNode, type RecoverNodeInput } from './enrollment/recover-node.ts';
export { RenewCertificate, type RenewCertificateInput } from './enrollment/renew-certificate.ts';
export type * from './fleet/check-in.ts';
export { ManageNodes } from './fleet/manage-nodes.ts';
export type { Node, NodeObservation, NodeRepositories, NodeRepository } from './fleet/node.ts';
export type * from './identities/identity.ts';
export { ProcessEndpointReports } from './identities/process-endpoint-reports.ts';
export type { BundleRecord, BundleRepository, SealedGeneration } from './bundles/bundle.ts';
export type * from './bundles/validation.ts';
export { OpenEpoch, type EpochRepositories, type EpochRepository } from './bundles/open-epoch.ts';
export { ReadBundles, type BundleRepositories } from './bundles/read-bundles.ts';
export {
  SealBundle,
  type PolicyContentSource,
  type ProgramCatalogue,
  type ProgramSet,
  type PublishedObject,
  type SealRepositories,
} from './bundles/seal-bundle.ts';
export { AdvanceRollout } from './rollouts/advance-rollout.ts';
export { AssignWave } from './rollouts/assign-wave.ts';
export { CreateRollout, type CreateRolloutInput } from './rollouts/create-rollout.ts';
export type { DenyDeltaSource } from './rollouts/deny-delta-source.ts';
export { ReadRollouts, type RolloutDetail } from './rollouts/read-rollouts.ts';
export type * from './rollouts/rollout.ts';
export { SteerRollout, type SteerCommand } from './rollouts/steer-rollout.ts';
export { DEFAULT_FLOW_RETENTION, KeepFlows, type FlowRetention } from './flows/keep-flows.ts';
export { SummarizeFlows, type FlowSummary, type FlowWindow } from './flows/summarize-flows.ts';
export { ExportFlows, type FlowExport, type FlowExportPage, type FlowExportQuery } from './flows/export-flows.ts';
export type { AttestationEvidence, AttestedIdentity, Attestor } from './enrollment/attestor.ts';
export { AuditLocalActs, type LocalAct, type LocalActRepositories, type LocalActRepository } from './fleet/audit-local-acts.ts';
