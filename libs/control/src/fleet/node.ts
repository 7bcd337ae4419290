import type { AuditLog } from '../audit/audit-log.ts';
import type { ClusterRepository } from '../clusters/cluster.ts';
import type { Page, PageRequest } from '../page.ts';
import type { WakeUp } from '../wake-up.ts';

/** What a node said at its last check-in. */
export interface NodeObservation {
  readonly bootId: string;
  /** `epoch.n` that runs, null before the first bundle. */
  readonly generation: string | null;
  readonly contentDigest: string | null;
  readonly state: string;
  readonly reason: string;
  readonly policyRevision: number;
  readonly identityRevision: number;
  readonly endpointsProtected: number;
  readonly endpointsUnprotected: number;
  /** The first unprotected endpoints, with the reason. */
  readonly gaps: readonly { readonly key: string; readonly reason: string }[];
  /** Null: no interface came while the node’s agent ran. */
  readonly longestUnprotectedMs: number | null;
  readonly deniedPackets: number;
  /** Unix ms while break-glass is active. */
  readonly disabledUntilMs: number | null;
  readonly seenAt: Date;
}

export interface Node {
  readonly id: string;
  readonly clusterId: string;
  readonly name: string;
  readonly state: 'active' | 'locked' | 'revoked';
  readonly stateReason: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly hostname: string;
  readonly agentVersion: string;
  readonly arch: string;
  readonly kernel: { readonly release: string; readonly features: readonly string[] };
  readonly addresses: readonly string[];
  readonly addressRanges: readonly string[] | null;
  readonly attestation: { readonly method: string };
  readonly enrolledAt: Date;
  readonly observed: NodeObservation | null;
  /** `epoch.n` that it is meant to run. */
  readonly desiredGeneration: string | null;
  /** What was refused of its last endpoint report. */
  readonly reportProblems: readonly string[];
}

export interface NodeRepository {
  list(clusterId: string, page: PageRequest): Promise<Page<Node>>;
  find(clusterId: string, id: string): Promise<Node | undefined>;
  /** False when it is in that state already. */
  setState(id: string, state: 'active' | 'revoked', reason: string): Promise<boolean>;
  setAddressRanges(id: string, ranges: readonly string[] | null): Promise<void>;
}

export interface NodeRepositories {
  readonly clusters: ClusterRepository;
  readonly nodes: NodeRepository;
  readonly audit: AuditLog;
  readonly wakeUp: WakeUp;
}
