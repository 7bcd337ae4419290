/**
 * One observed flow (or a delta of one), as it leaves the agent and as it is stored.
 * Field names and verdict words follow Hubble's Flow message where it has one.
 */

export type Verdict = 'forwarded' | 'dropped' | 'audit' | 'redirected' | 'error';
export type FlowDirection = 'ingress' | 'egress';
export type FlowSource = 'ebpf' | 'aws-vpc' | 'azure-vnet';

/** One end of a flow. */
export interface FlowEnd {
  readonly address: string;
  /** 0 where the protocol has no ports; ICMP: type on the destination end. */
  readonly port: number;
  /** Numeric identity; reserved numbers as in the policy room. */
  readonly identity: number;
  /** Sorted `source:key=value` strings. */
  readonly labels: readonly string[];
  readonly namespace?: string;
  readonly workload?: string;
  readonly cluster?: string;
  readonly node?: string;
  readonly dnsNames?: readonly string[];
}

/** The policy rule behind a verdict. */
export interface FlowPolicy {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly revision: number;
  readonly direction: FlowDirection;
  /** Absent: the policy selects the endpoint and nothing matched (default deny). */
  readonly index?: number;
}

export interface FlowProcess {
  readonly binary: string;
  readonly pid: number;
  readonly uid: number;
  readonly container?: string;
  readonly arguments?: string;
}

export interface FlowHttp {
  readonly method: string;
  readonly path: string;
  readonly status?: number;
  readonly latencyNs?: bigint;
}

export interface FlowDns {
  readonly query: string;
  readonly addresses: readonly string[];
  readonly rcode: number;
  readonly latencyNs?: bigint;
}

export interface FlowRecord {
  /** `new`: first packet of a connection; `delta`: counters since the last export; `closed`: last delta; `dropped`: denied packets. */
  readonly event: 'new' | 'delta' | 'closed' | 'dropped' | 'l7' | 'dns' | 'shadow';
  readonly source: FlowEnd;
  readonly destination: FlowEnd;
  /** IANA protocol number. */
  readonly protocol: number;
  readonly direction: FlowDirection;
  /** Where it was seen. */
  readonly node: string;
  readonly interface?: string;
  readonly verdict: Verdict;
  /** Present where verdict is dropped, audit or error. */
  readonly dropReason?: DropReason;
  readonly policies: readonly FlowPolicy[];
  /** The verdict the shadow policy would have given, where it differs. */
  readonly shadowVerdict?: Verdict;
  readonly isReply: boolean;
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly replyPackets: bigint;
  readonly replyBytes: bigint;
  /** Nanoseconds since the Unix epoch. */
  readonly firstSeenNs: bigint;
  readonly lastSeenNs: bigint;
  readonly tcpFlags: number;
  readonly rttNs?: bigint;
  readonly process?: FlowProcess;
  readonly http?: FlowHttp;
  readonly dns?: FlowDns;
  /** Under what the verdict was taken: enough to replay it offline. */
  readonly generation: string;
  readonly policyRevision: number;
  readonly identityRevision: number;
  readonly origin: FlowSource;
}

/** Why a packet was dropped; numbers are the wire and kernel values and are never reused. */
export const DROP_REASON = {
  'policy-denied': 1,
  'policy-denied-by-rule': 2,
  'invalid-packet': 3,
  'fragment-unknown': 4,
  'unsupported-protocol': 5,
  'table-full': 6,
  'l7-denied': 7,
  'invalid-connection-state': 8,
} as const;
export type DropReason = keyof typeof DROP_REASON;
