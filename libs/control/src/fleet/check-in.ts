import type { LocalAct } from './audit-local-acts.ts';

/** What the gateway stores of one check-in; every number as the node said it. */
export interface CheckInRecord {
  readonly nodeId: string;
  readonly clusterId: string;
  /** Of the certificate the connection was made with. */
  readonly serial: string;
  readonly bootId: string;
  readonly observed: ObservedState;
  readonly agentVersion: string | null;
  /** DSSE envelope, when the node sent one. */
  readonly endpointReport: Uint8Array | null;
  /** What the node signed of `observed`; the only part that moves a rollout. Null: it signed nothing. */
  readonly signedObservation: Uint8Array | null;
}

/** An endpoint that its node does not protect, and why. */
export interface EndpointGap {
  readonly key: string;
  readonly reason: string;
}

export interface ObservedState {
  readonly generation: { readonly epoch: number; readonly n: number } | null;
  readonly contentDigest: string;
  readonly state: 'none' | 'verified' | 'loaded' | 'healthy' | 'failed' | 'reverted';
  readonly subjectGeneration: { readonly epoch: number; readonly n: number } | null;
  readonly reason: string;
  readonly policyRevision: number;
  readonly identityRevision: number;
  readonly endpointsProtected: number;
  readonly endpointsUnprotected: number;
  /** The first of them; absent from nodes that do not say. */
  readonly gaps?: readonly EndpointGap[];
  /** Longest time from the news of an interface until it was attached; absent: none was seen coming. */
  readonly longestUnprotectedMs?: number;
  readonly deniedPackets: number;
  readonly disabledUntilMs: number | null;
  /** What root did on the node by itself, until it is acknowledged. */
  readonly localActs: readonly LocalAct[];
}

/** What a node is to be told. */
export interface NodeOrders {
  /** `suspended`: the node's tenant is. */
  readonly nodeState: 'active' | 'locked' | 'revoked' | 'suspended';
  readonly desired: DesiredGeneration | null;
}

export interface DesiredGeneration {
  readonly epoch: number;
  readonly n: number;
  readonly contentDigest: string;
  readonly manifestSha256: string;
  readonly assignmentId: string;
  readonly leafIndex: number;
  /** Audit path, 32 bytes each, bottom up, one after the other. */
  readonly proof: Uint8Array;
}

/** The gateway's side of the database: it stores what nodes say, reads what they are to be told, and nothing else. */
export interface AgentDesk {
  /** Stores the check-ins of one tenant in one transaction; answers orders by node id (absent: no such node). */
  checkIn(tenantId: string, records: readonly CheckInRecord[]): Promise<ReadonlyMap<string, NodeOrders>>;
  /** Orders of nodes that wait, without storing anything. */
  orders(tenantId: string, nodeIds: readonly string[]): Promise<ReadonlyMap<string, NodeOrders>>;
  assignment(tenantId: string, id: string): Promise<Uint8Array | undefined>;
  identityRevision(tenantId: string, clusterId: string): Promise<number>;
  /** The newest epoch that the root authority opened for the cluster; 1 before the first recovery. */
  epoch(tenantId: string, clusterId: string): Promise<number>;
  /** The command that opened it, signed by the root authority. */
  recovery(tenantId: string, clusterId: string): Promise<Uint8Array | undefined>;
  /** Newest version of a platform-wide metadata role, or one version. */
  metadata(role: string, version: number | null): Promise<{ readonly version: number; readonly bytes: Uint8Array } | undefined>;
  manifest(tenantId: string, clusterId: string, sha256: string): Promise<Uint8Array | undefined>;
  blob(tenantId: string, sha256: string): Promise<Uint8Array | undefined>;
  /** Envelopes that follow `since`, or the newest snapshot when they do not reach back that far; bounded in bytes. */
  identities(tenantId: string, clusterId: string, since: number, maxBytes: number): Promise<{ readonly envelopes: readonly Uint8Array[]; readonly more: boolean }>;
}

export interface AgentRequestInput {
  readonly kind: 'enroll' | 'renew' | 'recover';
  readonly input: Readonly<Record<string, unknown>>;
  readonly csr: Uint8Array;
  readonly sourceAddress: string;
}

/** Requests that only the worker can answer. */
export interface AgentRequestDesk {
  submit(request: AgentRequestInput): Promise<string>;
  /** Outcomes of those of the requests that are finished. */
  outcomes(ids: readonly string[]): Promise<ReadonlyMap<string, unknown>>;
  createChallenge(nodeId: string, nonce: Uint8Array, lifetimeMs: number): Promise<Date | 'too-many'>;
}
