import type { FlowDirection, FlowEvent, Verdict } from './flow-record.ts';

/** Bits of `tcpFlags` that counts keep: FIN, SYN, RST and ACK. */
export const COUNTED_TCP_FLAGS = 0x17;

/** Upper bounds of the latencies that counts tell apart, in microseconds: those of Hubble's HTTP histogram. */
export const COUNTED_LATENCIES_US = [5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000] as const;

/** Who is at an end, as far as metrics tell ends apart. */
export interface CountedEnd {
  readonly namespace?: string;
  readonly workload?: string;
}

/** How many flows were alike in everything here. */
export interface FlowCount {
  readonly event: FlowEvent;
  readonly verdict: Verdict;
  readonly direction: FlowDirection;
  /** IANA number. */
  readonly protocol: number;
  readonly isReply: boolean;
  readonly ipv6: boolean;
  readonly source: CountedEnd;
  readonly destination: CountedEnd;
  /** Of `COUNTED_TCP_FLAGS`, on TCP rows without layer 7; else 0. */
  readonly tcpFlags: number;
  /** On ICMP only. */
  readonly icmpType?: number;
  readonly http?: {
    readonly method: string;
    readonly status?: number;
    /** The first of `COUNTED_LATENCIES_US` that the latency does not exceed; their number beyond all; absent: not measured. */
    readonly latency?: number;
  };
  readonly dns?: { readonly rcode: number; readonly ipv4Answers: number; readonly ipv6Answers: number };
  /** Sampled rows count as many times as they stand for. */
  readonly flows: number;
  /** Sum of the HTTP latencies, microseconds; sampled rows count as many times as they stand for. */
  readonly latencyUs: number;
}
