import type { AuditLog } from '../audit/audit-log.ts';
import type { Page, PageRequest } from '../page.ts';
import type { WakeUp } from '../wake-up.ts';

export interface ClusterSettings {
  /** Host policies (nodeSelector) are enforced. */
  readonly hostFirewall: boolean;
  /** A policy change must be approved by another person before it rolls out. */
  readonly requireApproval: boolean;
}

export const DEFAULT_CLUSTER_SETTINGS: ClusterSettings = { hostFirewall: false, requireApproval: false };

export interface Cluster {
  readonly id: string;
  /** Unique in the tenant; a DNS label. */
  readonly name: string;
  readonly settings: ClusterSettings;
  /** Number of policy applies so far; the policy set of now is the one of this revision. */
  readonly policyRevision: number;
  /** Rises with every change of the cluster itself (entity tag). */
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Sorted by id; ids are in order of creation. */
export interface ClusterRepository {
  /** Throws `resource.conflict` when the name is taken. */
  insert(cluster: { readonly name: string; readonly settings: ClusterSettings }): Promise<Cluster>;
  find(id: string): Promise<Cluster | undefined>;
  /** Locks the row until the transaction ends. */
  findForUpdate(id: string): Promise<Cluster | undefined>;
  list(page: PageRequest & { readonly ids?: readonly string[] }): Promise<Page<Cluster>>;
  /** Also raises `version`. Throws `resource.conflict` when the name is taken. */
  update(id: string, change: { readonly name?: string; readonly settings?: ClusterSettings }): Promise<Cluster>;
}

export interface ClusterRepositories {
  readonly clusters: ClusterRepository;
  readonly audit: AuditLog;
  readonly wakeUp: WakeUp;
}
