import type { KernelFlowBatch, KernelFlowEvent, KernelLossCounters, LocalEndpoint, ServiceAddress } from '@palisade/dataplane';
import type { ResolvedNode } from '@palisade/policy';
import type { HttpCounts } from './http-drain.ts';

/** A verified program object, ready to load. */
export interface ProgramObject {
  /** Name in the bundle manifest, for example `endpoint`. */
  readonly name: string;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly bytes: Uint8Array;
}

export interface EndpointState {
  readonly key: string;
  readonly protected: boolean;
  /** Why it is not. */
  readonly reason?: string;
  /** From the news of its interface until programs were attached; absent: it is older than the agent, or no interface. */
  readonly unprotectedMs?: number;
}

/** What the kernel runs now, read back from the kernel (pinned maps and links), never from the agent's memory. */
export interface RunningState {
  /** Content digest of the bundle whose programs and policy are in force; absent before the first bundle. */
  readonly contentDigest?: string;
  /** Bundle generation, `epoch.n`. */
  readonly generation?: string;
  readonly policyRevision: number;
  readonly identityRevision: number;
  /** Endpoint key → protected (programs attached and policy present), or why not. */
  readonly endpoints: readonly EndpointState[];
}

export interface DesiredState {
  readonly contentDigest: string;
  readonly generation: string;
  readonly programs: readonly ProgramObject[];
  readonly resolved: ResolvedNode;
  /** Evaluated beside the live one; only differing verdicts are reported. */
  readonly shadow?: ResolvedNode;
  readonly endpoints: readonly LocalEndpoint[];
  /** Addresses that something on this node translates (ClusterIP, NodePort, …): egress to them is decided on the backend. */
  readonly services?: readonly ServiceAddress[];
  /** DNS resolvers whose answers policy by name learns from; absent: the services on port 53. */
  readonly dnsResolvers?: readonly { readonly network: string; readonly address: string }[];
}

export interface KernelFeatures {
  readonly kernelRelease: string;
  /** `tcx`, `ringbuf`, `batch`, `btf`, `cgroup2`, `fentry`, … → usable. */
  readonly features: Readonly<Record<string, boolean>>;
}

export interface DatapathCounters {
  readonly forwardedPackets: bigint;
  readonly droppedPackets: bigint;
  readonly auditedPackets: bigint;
  readonly perEndpoint: readonly { readonly key: string; readonly forwardedPackets: bigint; readonly droppedPackets: bigint }[];
  readonly losses: KernelLossCounters;
  /** What the HTTP reader counted; absent before the first program. */
  readonly http?: HttpCounts;
  /** Messages on port 53 that are no DNS, or that were cut in the question. */
  readonly unreadDns?: bigint;
}

/**
 * The privileged side of the agent: makes the kernel enforce a desired state and reports what it saw.
 * All kernel effects of the agent go through one implementation of this. A failed `apply` leaves the old state running.
 */
export interface Enforcer {
  features(): Promise<KernelFeatures>;
  /** Adopts what an earlier agent process left pinned; traffic is not touched. */
  adopt(): Promise<RunningState>;
  running(): Promise<RunningState>;
  /**
   * Prepares programs and maps beside the running ones, switches atomically (maps first, then the generation).
   * Calling it again with the same state changes nothing.
   * @throws DomainError `kernel.load-failed` with the verifier log's tail, `kernel.attach-failed`, `kernel.map-full`
   */
  apply(desired: DesiredState): Promise<RunningState>;
  /** Drains new events and connection deltas since the last call; at most `limit` records. */
  drain(limit: number): Promise<readonly KernelFlowEvent[]>;
  /** The same without an object for each record: what the flow path uses. Batches are valid until the next drain. */
  drainBatches(limit: number): Promise<readonly KernelFlowBatch[]>;
  counters(): Promise<DatapathCounters>;
  /** The losses among the counters, cheap enough to be asked for every second. */
  losses(): Promise<KernelLossCounters>;
  /** Calls back when interfaces of the node come or go. @returns what ends it */
  watch(changed: () => void): () => void;
  /** Break-glass: programs stay attached and pass everything until `enable`. */
  disable(): Promise<void>;
  enable(): Promise<void>;
  /** Detaches everything and removes all pins. Only for `palisade-agent uninstall` and tests. */
  uninstall(): Promise<void>;
  /** Releases file descriptors; what is pinned keeps enforcing. */
  close(): Promise<void>;
}
