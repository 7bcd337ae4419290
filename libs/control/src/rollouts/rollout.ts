import type {
  Generation,
  GatePolicy,
  MaintenanceWindow,
  NodeCounts,
  NodeProgress,
  NodeRolloutState,
  RolloutState,
  WaveProgress,
  WaveStrategy,
} from '@palisade/rollout';
import type { StatementPosition } from '@palisade/bundle';
import type { AuditLog } from '../audit/audit-log.ts';
import type { BundleRepository } from '../bundles/bundle.ts';
import type { ValidationReport } from '../bundles/validation.ts';
import type { ClusterRepository } from '../clusters/cluster.ts';
import type { Page, PageRequest } from '../page.ts';
import type { PolicyApprovalRepository } from '../policies/approval.ts';
import type { WakeUp } from '../wake-up.ts';

export interface RolloutTarget {
  readonly generation: Generation;
  /** `amd64`, `arm64` → what nodes of that architecture are to run. */
  readonly byArch: Readonly<Record<string, { readonly manifestSha256: string; readonly contentDigest: string }>>;
}

export interface Rollout {
  readonly id: string;
  readonly clusterId: string;
  readonly channel: string;
  readonly state: RolloutState;
  /** Compare-and-swap: every transition names the version it read. */
  readonly version: number;
  readonly reason: string | null;
  readonly policyRevision: number;
  /** Evaluated beside the live one; null: none was asked for. */
  readonly shadowPolicyRevision: number | null;
  /** The rollout that this one undoes. */
  readonly revertOf: string | null;
  readonly bundleId: string | null;
  /** Known once sealed: one manifest an architecture, all of one generation. */
  readonly target: RolloutTarget | null;
  readonly strategy: WaveStrategy;
  readonly gate: GatePolicy;
  readonly windows: readonly MaintenanceWindow[];
  /** How long an offered node may say nothing. */
  readonly leaseMs: number;
  /** Nodes that may be offered and not settled at the same time; null: a whole wave. */
  readonly maxInFlight: number | null;
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
}

export interface RolloutWave extends WaveProgress {
  readonly index: number;
  readonly name: string;
  readonly size: number;
  readonly reason: string | null;
  readonly counts: NodeCounts;
}

export interface RolloutNode extends NodeProgress {
  readonly nodeId: string;
  readonly nodeName: string;
  readonly waveIndex: number;
  readonly updatedAt: Date;
}

export interface RolloutEventRecord {
  readonly id: string;
  readonly kind: string;
  readonly waveIndex: number | null;
  readonly nodeId: string | null;
  readonly detail: string;
  readonly at: Date;
}

/** A node with a report that has not been taken into account. */
export interface ReportedNode extends NodeProgress {
  readonly nodeId: string;
  readonly waveIndex: number;
  readonly arch: string;
  readonly change: number;
  /** What the node signed, unverified; null: it signed nothing. */
  readonly envelope: Uint8Array | null;
  /** SubjectPublicKeyInfo, DER: the key it must be signed with. */
  readonly publicKey: Uint8Array;
  /** The newest statement of the node that this rollout has read. */
  readonly heard: StatementPosition;
}

/** A wave's nodes under one signature of the director, ready to be stored. */
export interface WaveAssignment {
  readonly clusterId: string;
  readonly rolloutId: string | null;
  readonly target: RolloutTarget;
  /** DSSE envelope, shared by all of them. */
  readonly envelope: Uint8Array;
  readonly nodes: readonly { readonly nodeId: string; readonly arch: string; readonly leafIndex: number; readonly path: readonly Uint8Array[] }[];
}

export interface RolloutChange {
  readonly state: RolloutState;
  readonly reason: string | null;
  readonly bundleId?: string;
  readonly generation?: Generation;
  readonly validation?: ValidationReport;
}

export interface RolloutRepository {
  /** Throws `resource.conflict` when the cluster's channel has an active rollout already. */
  insert(rollout: {
    readonly clusterId: string;
    readonly channel: string;
    readonly policyRevision: number;
    readonly shadowPolicyRevision: number | null;
    readonly revertOf: string | null;
    readonly bundleId: string | null;
    readonly strategy: WaveStrategy;
    readonly gate: GatePolicy;
    readonly windows: readonly MaintenanceWindow[];
    readonly leaseMs: number;
    readonly maxInFlight: number | null;
    readonly createdBy: string;
  }): Promise<Rollout>;
  find(id: string): Promise<Rollout | undefined>;
  /** Locks the rollout until the transaction ends. */
  findForUpdate(id: string): Promise<Rollout | undefined>;
  findActive(clusterId: string, channel: string): Promise<Rollout | undefined>;
  findRevertOf(id: string): Promise<Rollout | undefined>;
  /** The bundle that ran before this rollout: of the newest earlier rollout of the cluster that succeeded. */
  bundleBefore(rollout: Rollout): Promise<{ readonly bundleId: string; readonly policyRevision: number; readonly shadowPolicyRevision: number | null } | undefined>;
  list(clusterId: string, page: PageRequest): Promise<Page<Rollout>>;
  /** What VALIDATING found; undefined before. */
  validation(id: string): Promise<ValidationReport | undefined>;
  /** Stores a transition if nobody else has since; false: read again. Writes the outbox row in the same transaction. */
  swap(rollout: Rollout, change: RolloutChange): Promise<boolean>;

  insertWaves(rolloutId: string, waves: readonly { readonly name: string; readonly nodeIds: readonly string[] }[]): Promise<void>;
  listWaves(rolloutId: string): Promise<readonly RolloutWave[]>;
  /** Stores the wave if it is still in state `from`. */
  swapWave(rolloutId: string, index: number, from: WaveProgress['state'], progress: WaveProgress, reason: string | null): Promise<boolean>;
  listNodes(rolloutId: string, page: PageRequest & { readonly state?: NodeRolloutState }): Promise<Page<RolloutNode>>;
  listEvents(rolloutId: string, page: PageRequest): Promise<Page<RolloutEventRecord>>;

  /** Active nodes of the cluster with the labels that waves are planned from; online: seen within `onlineMs`. */
  fleet(clusterId: string, onlineMs: number): Promise<readonly { readonly id: string; readonly arch: string; readonly labels: Readonly<Record<string, string>>; readonly online: boolean }[]>;
  /** Pending nodes of an open wave, with what is known of their presence. */
  waiting(rolloutId: string, waveIndex: number, onlineMs: number): Promise<readonly (NodeProgress & { readonly nodeId: string; readonly arch: string; readonly online: boolean })[]>;
  /** Nodes of opened waves that are not settled and that were locked or revoked since. */
  quarantined(rolloutId: string): Promise<readonly (NodeProgress & { readonly nodeId: string; readonly nodeState: 'locked' | 'revoked' })[]>;
  silent(rolloutId: string): Promise<readonly (NodeProgress & { readonly nodeId: string })[]>;
  /** In-flight nodes whose lease is over. */
  expired(rolloutId: string): Promise<readonly (NodeProgress & { readonly nodeId: string })[]>;
  /** Nodes of opened waves with news; at most `limit`. */
  reported(rolloutId: string, limit: number): Promise<readonly ReportedNode[]>;
  storeNodes(rolloutId: string, nodes: readonly (NodeProgress & { readonly nodeId: string; readonly change?: number; readonly heard?: StatementPosition })[]): Promise<void>;
  record(rolloutId: string, events: readonly { readonly kind: string; readonly waveIndex?: number; readonly nodeId?: string; readonly detail?: string }[]): Promise<void>;

  /** Makes nodes want a generation under one signed assignment; inside a rollout what they wanted before is kept. */
  assign(assignment: WaveAssignment): Promise<void>;
  /** Active nodes of the cluster that are not meant to run the target yet, for whatever reason they were left out. */
  stragglers(clusterId: string, target: RolloutTarget): Promise<readonly { readonly nodeId: string; readonly arch: string }[]>;
  /** What every node of the cluster is meant to run when no rollout says otherwise. */
  adopted(clusterId: string): Promise<RolloutTarget | undefined>;
  setAdopted(clusterId: string, generation: Generation): Promise<void>;
  /** Gives nodes that are offered and have not begun their former target back, and makes them pending. */
  withdraw(rolloutId: string): Promise<number>;
  supersedeNodes(rolloutId: string): Promise<number>;
  /** Database time, the one clock that leases and bakes are measured with. */
  now(): Promise<Date>;
}

export interface RolloutRepositories {
  readonly clusters: ClusterRepository;
  readonly rollouts: RolloutRepository;
  readonly bundles: BundleRepository;
  readonly approvals: PolicyApprovalRepository;
  readonly audit: AuditLog;
  readonly wakeUp: WakeUp;
}
