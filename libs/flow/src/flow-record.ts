/**
 * One observed flow (or a delta of one), as it leaves the agent and as it is stored.
 * Field names and verdict words follow Hubble's Flow message where it has one. Times are microseconds (the precision of
 * the wire and of the stores); counters are deltas and stay below 2^53, so plain numbers hold all of them exactly.
 */

export type Verdict = 'forwarded' | 'dropped' | 'audit' | 'redirected' | 'error';
export type FlowDirection = 'ingress' | 'egress';
export type FlowSource = 'ebpf' | 'aws-vpc' | 'azure-vnet';
/** `new`: first packet of a connection; `delta`: counters since the last export; `closed`: last delta; `dropped`: denied packets. */
export type FlowEvent = 'new' | 'delta' | 'closed' | 'dropped' | 'l7' | 'dns' | 'shadow';

/** Who is at one end: everything about it but the port. Few distinct ones per batch, hence a dictionary on the wire and in the stores. */
export interface FlowPeer {
  /** Canonical address without prefix length. */
  readonly address: string;
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

/** One end of a flow. */
export interface FlowEnd extends FlowPeer {
  /** 0 where the protocol has no ports; ICMP: type on the destination end. */
  readonly port: number;
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
  /** Path template, without query string. */
  readonly path: string;
  readonly status?: number;
  readonly latencyUs?: number;
}

export interface FlowDns {
  readonly query: string;
  readonly addresses: readonly string[];
  readonly rcode: number;
  readonly latencyUs?: number;
}

export interface FlowRecord {
  readonly event: FlowEvent;
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
  /** Empty where no policy decided. */
  readonly policies: readonly FlowPolicy[];
  /** The verdict the shadow policy would have given, where it differs. */
  readonly shadowVerdict?: Verdict;
  readonly isReply: boolean;
  readonly packets: number;
  readonly bytes: number;
  readonly replyPackets: number;
  readonly replyBytes: number;
  /** Microseconds since the Unix epoch. */
  readonly firstSeenUs: number;
  readonly lastSeenUs: number;
  readonly tcpFlags: number;
  readonly rttUs?: number;
  readonly process?: FlowProcess;
  readonly http?: FlowHttp;
  readonly dns?: FlowDns;
  /** Under what the verdict was taken: enough to replay it offline. */
  readonly generation: string;
  readonly policyRevision: number;
  readonly identityRevision: number;
  readonly origin: FlowSource;
  /** How many flows this row stands for: 1, or more where allowed flows were sampled over budget. */
  readonly weight: number;
}

/** Wire and store numbers; never reused. Verdicts and directions have Hubble's numbers. */
export const VERDICT = { forwarded: 1, dropped: 2, error: 3, audit: 4, redirected: 5 } as const satisfies Record<Verdict, number>;
export const FLOW_DIRECTION = { ingress: 1, egress: 2 } as const satisfies Record<FlowDirection, number>;
export const FLOW_EVENT = { new: 1, delta: 2, closed: 3, dropped: 4, l7: 5, dns: 6, shadow: 7 } as const satisfies Record<FlowEvent, number>;
export const FLOW_SOURCE = { ebpf: 1, 'aws-vpc': 2, 'azure-vnet': 3 } as const satisfies Record<FlowSource, number>;

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
  /** Under soft rules on HTTP: not a request that can be judged by itself. */
  'l7-unparsed': 9,
} as const;
export type DropReason = keyof typeof DROP_REASON;

function namesByNumber<Name extends string>(numbers: Readonly<Record<Name, number>>): ReadonlyMap<number, Name> {
  return new Map((Object.keys(numbers) as Name[]).map((name) => [numbers[name], name]));
}

const names = {
  verdict: namesByNumber<Verdict>(VERDICT),
  direction: namesByNumber<FlowDirection>(FLOW_DIRECTION),
  event: namesByNumber<FlowEvent>(FLOW_EVENT),
  origin: namesByNumber<FlowSource>(FLOW_SOURCE),
  dropReason: namesByNumber<DropReason>(DROP_REASON),
};

/** Name of a stored number; unknown numbers (a newer agent's) read as the most cautious name. */
export const verdictName = (code: number): Verdict => names.verdict.get(code) ?? 'error';
export const directionName = (code: number): FlowDirection => names.direction.get(code) ?? 'ingress';
export const eventName = (code: number): FlowEvent => names.event.get(code) ?? 'delta';
export const originName = (code: number): FlowSource => names.origin.get(code) ?? 'ebpf';
/** Undefined for 0 and for numbers this version does not know. */
export const dropReasonName = (code: number): DropReason | undefined => names.dropReason.get(code);
