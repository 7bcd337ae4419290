export { AuthenticateToken, type Authentication } from './access/authenticate-token.ts';
export type { AuditEntry, AuditLog } from './audit/audit-log.ts';
export { ReadAudit, type AuditEventRepository, type AuditFilter, type AuditHead, type AuditRepositories } from './audit/read-audit.ts';
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
export { ApplyPolicies, type AppliedPolicies, type ApplyPoliciesInput, type PolicyChange, type PolicyParser } from './policies/apply-policies.ts';
export { AskVerdict, type AskVerdictInput, type ClusterFactsSource, type VerdictAnswer, type VerdictRepositories } from './policies/ask-verdict.ts';
export type { Policy, PolicyFilter, PolicyRepositories, PolicyRepository, PolicyRevision, PolicyVersion } from './policies/policy.ts';
export { policyDigest, policySetDigest } from './policies/policy-digest.ts';
export { ReadPolicies } from './policies/read-policies.ts';
export { RemovePolicy } from './policies/remove-policy.ts';
export type { ApiToken, ApiTokenRepositories, ApiTokenRepository, NewApiToken, TokenCredentials, TokenDirectory } from './tokens/api-token.ts';
export { CreateApiToken, type CreateApiTokenInput } from './tokens/create-api-token.ts';
export { ReadApiTokens } from './tokens/read-api-tokens.ts';
export { RevokeApiToken } from './tokens/revoke-api-token.ts';
export { mintToken, parseToken, type TokenParts } from './tokens/token-text.ts';
export type { UnitOfWork } from './unit-of-work.ts';
export { isUuid } from './uuid.ts';
export type { WakeUp } from './wake-up.ts';
export type * from './flows/flow-store.ts';
export { DEFAULT_FLOW_INGEST, IngestFlowBatch, type FlowIngestAnswer, type FlowIngestFigures, type FlowIngestOptions, type FlowIngestOutcome } from './flows/ingest-flow-batch.ts';
export { ReadFlows } from './flows/read-flows.ts';
