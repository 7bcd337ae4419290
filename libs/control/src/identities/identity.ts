import type { ClusterFacts, Labels, NodeFact, ServiceFact, WorkloadFact } from '@palisade/policy';
import type { StatementPosition } from '@palisade/bundle';
import type { AuditLog } from '../audit/audit-log.ts';
import type { WakeUp } from '../wake-up.ts';

export interface PendingReport {
  readonly nodeId: string;
  readonly nodeName: string;
  /** SubjectPublicKeyInfo, DER: the key the report must be signed with. */
  readonly publicKey: Uint8Array;
  /** CIDRs that the cluster assigned to the node; null: none are assigned. */
  readonly addressRanges: readonly string[] | null;
  readonly version: number;
  readonly envelope: Uint8Array;
  /** The newest report of the node that was believed. */
  readonly heard: StatementPosition;
}

export interface StoredWorkload {
  readonly key: string;
  readonly nodeId: string;
  readonly network: string;
  /** All addresses the node reported. */
  readonly addresses: readonly string[];
  /** Those that another node's workload claims too: bound to neither. */
  readonly conflicting: readonly string[];
  /** With the addresses that are bound. */
  readonly fact: WorkloadFact;
}

export interface IdentityHead {
  readonly epoch: number;
  readonly revision: number;
  readonly snapshotRevision: number;
  /** Key id of who signed the newest message; null: nobody has. */
  readonly signedBy: string | null;
}

export interface IdentityRepository {
  /** Locks the stream of the cluster until the transaction ends; starts it at revision 0. */
  lockHead(clusterId: string): Promise<IdentityHead>;
  moveHead(clusterId: string, head: { readonly revision: number; readonly snapshotRevision: number; readonly signedBy: string }): Promise<void>;
  append(clusterId: string, message: { readonly kind: 'snapshot' | 'increment'; readonly revision: number; readonly previousRevision: number; readonly envelope: Uint8Array }): Promise<void>;
  /** Deletes what nobody needs to catch up from: everything before this revision. */
  forgetBefore(clusterId: string, revision: number): Promise<void>;
  facts(clusterId: string, revision: number): Promise<ClusterFacts>;

  pendingReports(clusterId: string, limit: number): Promise<readonly PendingReport[]>;
  storeResult(clusterId: string, result: { readonly nodeId: string; readonly version: number; readonly accepted: boolean; readonly heard?: StatementPosition; readonly problems: readonly string[] }): Promise<void>;

  workloadsOfNode(nodeId: string): Promise<readonly StoredWorkload[]>;
  workloadsByKey(clusterId: string, keys: readonly string[]): Promise<readonly StoredWorkload[]>;
  /** Workloads of the cluster that hold one of these addresses, in any network. */
  workloadsByAddress(clusterId: string, addresses: readonly string[]): Promise<readonly StoredWorkload[]>;
  /** Workloads of nodes that are no longer part of the cluster. */
  orphanedWorkloads(clusterId: string): Promise<readonly StoredWorkload[]>;
  saveWorkloads(clusterId: string, workloads: readonly StoredWorkload[]): Promise<void>;
  removeWorkloads(clusterId: string, keys: readonly string[]): Promise<void>;

  /** The number of a label set: of the tenant, 256 and up, never given twice. */
  identityOf(labels: Labels): Promise<number>;

  servicesByKey(clusterId: string, keys: readonly string[]): Promise<readonly { readonly key: string; readonly nodeId: string; readonly fact: ServiceFact }[]>;
  saveServices(clusterId: string, services: readonly { readonly key: string; readonly nodeId: string; readonly fact: ServiceFact }[]): Promise<void>;

  /** Active nodes whose fact is not in the stream yet. */
  unpublishedNodes(clusterId: string, limit: number): Promise<readonly { readonly nodeId: string; readonly fact: NodeFact }[]>;
  /** Names of published nodes that were revoked. */
  departedNodes(clusterId: string): Promise<readonly string[]>;
  markPublished(clusterId: string, nodes: readonly { readonly nodeId: string; readonly fact: NodeFact }[]): Promise<void>;
  markDeparted(clusterId: string, names: readonly string[]): Promise<void>;
}

export interface IdentityRepositories {
  readonly identities: IdentityRepository;
  readonly clusterNames: { nameOf(clusterId: string): Promise<string | undefined> };
  readonly audit: AuditLog;
  readonly wakeUp: WakeUp;
}
