/** What is known of one name that was asked for, over a window. */
export interface FlowDnsName {
  readonly query: string;
  /** Answers seen. */
  readonly lookups: number;
  /** Answers by response code (RFC 1035 §4.1.1; 0 is success). */
  readonly byRcode: Readonly<Record<string, number>>;
  /** Different asking ends. */
  readonly clients: number;
  /** Up to `DNS_ADDRESSES` of the answers' addresses, sorted. */
  readonly addresses: readonly string[];
  /** Answers by latency, see `latencyBucket`; empty where none was measured. */
  readonly latency: readonly number[];
  readonly lastSeenUs: number;
}

/** Addresses that are listed of one name. */
export const DNS_ADDRESSES = 20;

/** Share of the answers that were no success; 0 to 1. */
export function dnsFailureRate({ lookups, byRcode }: FlowDnsName): number {
  return lookups === 0 ? 0 : 1 - (byRcode['0'] ?? 0) / lookups;
}
