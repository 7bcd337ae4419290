import type { DnsMessage } from './dns-message.ts';

/** What the kernel reported, decoded but not yet enriched with names. */
export interface KernelFlowEvent {
  readonly event: 'new' | 'delta' | 'closed' | 'dropped' | 'shadow' | 'l7' | 'dns';
  /** Host interface index of the endpoint that saw it. */
  readonly ifindex: number;
  /** Endpoint slot, see `LocalEndpoint.slot`. */
  readonly endpointSlot: number;
  readonly direction: 'ingress' | 'egress';
  readonly source: string;
  readonly destination: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** IANA protocol number. */
  readonly protocol: number;
  /** Identity of the far end as the address map gave it. */
  readonly peerIdentity: number;
  readonly verdict: 'forwarded' | 'dropped' | 'audit' | 'redirected' | 'error';
  /** 0 where nothing was dropped; numbers of `DROP_REASON` in the flow room. */
  readonly dropReason: number;
  /** `PolicyEntry.ruleId` of the deciding entry; 0 where no policy applied. */
  readonly ruleId: number;
  /** The shadow policy's verdict and rule where it differs. */
  readonly shadowVerdict?: 'forwarded' | 'dropped' | 'audit' | 'redirected';
  readonly shadowRuleId?: number;
  readonly isReply: boolean;
  readonly packets: bigint;
  readonly bytes: bigint;
  readonly replyPackets: bigint;
  readonly replyBytes: bigint;
  /** Nanoseconds of CLOCK_MONOTONIC (`KernelPort.monotonicNs`); the agent turns them into wall time. */
  readonly firstSeenNs: bigint;
  readonly lastSeenNs: bigint;
  readonly tcpFlags: number;
  /** Microseconds of the handshake, once around both ends; 0: not measured. */
  readonly rttUs: number;
  /** Datapath generation under which the verdict was taken (a u32 counter, not the bundle generation). */
  readonly datapathGeneration: number;
  /** Socket owner, 0/'' where unknown. */
  readonly pid: number;
  readonly uid: number;
  readonly command: string;
  /** What the process executes, where that is known; `arguments` as the agent is set to tell them. */
  readonly process?: { readonly binary: string; readonly arguments?: string; readonly container?: string };
  /** The address that was translated to `destination` on the way, where there was one. */
  readonly serviceAddress?: string;
  readonly servicePort?: number;
  /** Where `event` is `l7`. */
  readonly http?: KernelHttp;
  /** Where `event` is `dns`. */
  readonly dns?: KernelDns;
}

/** What a workload asked, and was told. */
export interface KernelDns {
  /** `refused`: a question that policy dropped; the denial's own event counts it. */
  readonly kind: 'answer' | 'refused';
  readonly message: DnsMessage;
  /** From the question to the answer; 0: not measured. */
  readonly latencyUs: number;
}

/** An HTTP/1 exchange as the kernel saw it, or what else a connection turned out to be. */
export interface KernelHttp {
  /** `tls`, `http2`: content that cannot be seen here; the other fields are empty. */
  readonly kind: 'exchange' | 'tls' | 'http2';
  readonly method: string;
  /** As sent, without query string; at most 192 bytes, `pathCut` when there was more. */
  readonly path: string;
  readonly pathCut: boolean;
  readonly host: string;
  /** 0: the connection ended without an answer. */
  readonly status: number;
  readonly latencyUs: number;
}

/** Events of one drain. Rows are read in place where they can be: valid until the next drain. */
export interface KernelFlowBatch {
  readonly count: number;
  /** Rows have `dns`: names for what other rows of the same drain say. */
  readonly tellsNames?: boolean;
  /** Forwarded, and no shadow policy says otherwise. */
  isPlain(row: number): boolean;
  /** Counters of an allowed ingress connection: its source may be observed too. */
  isRepeat(row: number): boolean;
  /** Equal for equal (endpoint, source) pairs; undefined where the address is no IPv4 address. */
  sourceKey(row: number): number | undefined;
  slot(row: number): number;
  /** The row as an object. */
  event(row: number): KernelFlowEvent;
}

/** Losses since start, by place; monotonic. `seen = exported + sampled + dropped` holds with them. */
export interface KernelLossCounters {
  /** Ring buffer reservations that failed. */
  readonly ringFull: bigint;
  /** Connections that left the table before their last delta was exported. */
  readonly evicted: bigint;
  /** Numbers missing in the sequences of the processors, as this agent process read them; the same losses seen from the other end. */
  readonly sequenceGaps?: bigint;
  /** Packets that no event will tell any more: forwarded - untracked - told, dropped - told, at the last whole export. A lower bound. */
  readonly untoldPackets?: bigint;
}
