export type { AuditEntry, AuditLog } from './audit/audit-log.ts';
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
export type { UnitOfWork } from './unit-of-work.ts';
export type { WakeUp } from './wake-up.ts';
export type * from './flows/flow-store.ts';
export { DEFAULT_FLOW_INGEST, IngestFlowBatch, type FlowIngestAnswer, type FlowIngestFigures, type FlowIngestOptions, type FlowIngestOutcome } from './flows/ingest-flow-batch.ts';
export { ReadFlows } from './flows/read-flows.ts';
