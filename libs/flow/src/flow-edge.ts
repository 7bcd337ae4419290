/**
 * Who talks to whom: flows summed up over time. An edge knows workloads, not addresses: what dashboards, the service map and
 * recommendations read.
 */
import type { DropReason, FlowPolicy, Verdict } from './flow-record.ts';

/** One end of an edge. Outside ends fold into their reserved identity, apart by DNS name. */
export interface FlowParty {
  readonly identity: number;
  readonly labels: readonly string[];
  readonly namespace?: string;
  readonly workload?: string;
  readonly cluster?: string;
  readonly dnsNames?: readonly string[];
}

/** Sums over a window of flows with the same ends, port, protocol, verdict and cause. */
export interface FlowEdge {
  readonly source: FlowParty;
  readonly destination: FlowParty;
  /** 0 where ends beyond the cap were folded into `other`. */
  readonly port: number;
  /** IANA number. */
  readonly protocol: number;
  readonly verdict: Verdict;
  readonly dropReason?: DropReason;
  /** Behind drops and audits only: forwarded edges do not tell policies apart. */
  readonly policies: readonly FlowPolicy[];
  /** Connections begun, and denied packets reported. */
  readonly flows: number;
  readonly packets: number;
  readonly bytes: number;
  readonly replyPackets: number;
  readonly replyBytes: number;
  readonly http?: EdgeHttp;
}

export interface EdgeHttp {
  readonly requests: number;
  /** Status 500 and above. */
  readonly errors: number;
  /** Requests by latency, see `latencyBucket`. */
  readonly latency: readonly number[];
}

/** Ends that a minute holds beyond its cap. */
export const OTHER_PARTY: FlowParty = { identity: 0, labels: ['reserved:other'] };

/** Four buckets for each doubling, from below 64 µs to above two minutes: quantiles are exact to 19 %. */
export const LATENCY_BUCKETS = 88;
const FIRST_BUCKET_US = 64;

export function latencyBucket(us: number): number {
  if (us < FIRST_BUCKET_US) return 0;
  return Math.min(LATENCY_BUCKETS - 1, 1 + Math.floor(Math.log2(us / FIRST_BUCKET_US) * 4));
}

/** Largest latency of a bucket. */
export function latencyBoundUs(bucket: number): number {
  return FIRST_BUCKET_US * 2 ** (bucket / 4);
}

/** The latency that `share` of the requests stayed below, in microseconds; undefined without requests. */
export function latencyQuantileUs(latency: readonly number[], share: number): number | undefined {
  const total = latency.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  let below = 0;
  for (const [bucket, count] of latency.entries()) {
    below += count;
    if (below >= total * share) return Math.round(latencyBoundUs(bucket));
  }
  return Math.round(latencyBoundUs(LATENCY_BUCKETS - 1));
}
