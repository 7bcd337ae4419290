import type { PolicyDocument, PolicyKind, PolicyMode } from '@palisade/policy';
import type { AuditLog } from '../audit/audit-log.ts';
import type { ClusterRepository } from '../clusters/cluster.ts';
import type { Page, PageRequest } from '../page.ts';
import type { WakeUp } from '../wake-up.ts';

/** One policy object of a cluster at its newest version. */
export interface Policy {
  readonly id: string;
  readonly clusterId: string;
  readonly kind: PolicyKind;
  readonly namespace?: string;
  readonly name: string;
  readonly mode: PolicyMode;
  /** Cluster revision that brought this version. */
  readonly revision: number;
  /** Cluster revision that removed it; absent: in force. */
  readonly removedAtRevision?: number;
  /** SHA-256 (hex) of the canonical IR without its revision: equal digest, equal meaning. */
  readonly digest: string;
  readonly document: PolicyDocument;
  readonly createdAt: Date;
}

export interface PolicyVersion {
  readonly revision: number;
  /** Cluster revision that replaced or removed it; absent: in force. */
  readonly endedAtRevision?: number;
  readonly mode: PolicyMode;
  readonly digest: string;
  readonly createdBy: string;
  readonly createdAt: Date;
}

/** One apply or removal: the step of a cluster's policy set from one revision to the next. */
export interface PolicyRevision {
  readonly revision: number;
  /** SHA-256 (hex) of the canonical policy set. */
  readonly digest: string;
  readonly applied: number;
  readonly removed: number;
  readonly createdBy: string;
  readonly createdAt: Date;
}

export interface PolicyFilter {
  readonly namespaces?: readonly string[];
  readonly kind?: PolicyKind;
}

export interface PolicyRepository {
  /** The policy set at a revision, 0 being empty. Throws `resource.not-found` when the cluster has no such revision. */
  documentsAt(clusterId: string, revision: number): Promise<readonly PolicyDocument[]>;
  /** Policies in force, sorted by id. */
  list(clusterId: string, page: PageRequest & PolicyFilter): Promise<Page<Policy>>;
  /** Also one that was removed. */
  find(clusterId: string, id: string): Promise<Policy | undefined>;
  /** Newest first, at most `limit`. */
  versions(clusterId: string, id: string, limit: number): Promise<readonly PolicyVersion[]>;
  /** Newest first; `after` is the revision of the last one seen. */
  revisions(clusterId: string, page: PageRequest<number>): Promise<Page<PolicyRevision, number>>;
  /** Raises the cluster's revision, which must be locked, and records the step. */
  insertRevision(revision: {
    readonly clusterId: string;
    readonly revision: number;
    readonly source: string;
    readonly digest: string;
    readonly applied: number;
    readonly removed: number;
    readonly createdBy: string;
  }): Promise<PolicyRevision>;
  /** Ends the version in force, if any, and adds this one. Answers the policy's id. */
  put(clusterId: string, document: PolicyDocument, digest: string): Promise<string>;
  /** Ends the version in force at `revision`. */
  end(clusterId: string, id: string, revision: number): Promise<void>;
}

export interface PolicyRepositories {
  readonly clusters: ClusterRepository;
  readonly policies: PolicyRepository;
  readonly audit: AuditLog;
  readonly wakeUp: WakeUp;
}
