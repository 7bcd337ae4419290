import type { FlowBatch, FlowCount, FlowCoverage, FlowDnsName, FlowEdge, FlowRecord, FlowSelection } from '@palisade/flow';
import type { TenantContext, TenantId } from '@palisade/tenancy';

/** Who sent a batch: all of it from the client certificate. */
export interface FlowSender {
  readonly tenantId: TenantId;
  readonly clusterId: string;
  readonly nodeId: string;
}

export interface SentFlowBatch {
  readonly sender: FlowSender;
  readonly batch: FlowBatch;
  /** As it came in, compressed; what a tenant's bytes of a day are counted by. */
  readonly wireBytes?: number;
}

export type FlowAppendOutcome =
  | { readonly kind: 'stored'; readonly rows: number }
  /** (node, boot id, seq) was committed before. */
  | { readonly kind: 'duplicate' }
  /** It can never be stored; the sentence says why. */
  | { readonly kind: 'refused'; readonly reason: string };

/** Takes flows in. Columns in, columns stored: no row objects on this path. */
export interface FlowSink {
  /**
   * Stores many agents' batches and their ledger rows in one commit. When it fulfils, what it says is durable.
   * One outcome per batch, in order. Rejects when nothing was stored (try again later).
   */
  append(batches: readonly SentFlowBatch[]): Promise<readonly FlowAppendOutcome[]>;
}

/** A flow with its id. Ids name (node, boot id, sequence number, row) and are unique in the tenant. */
export interface StoredFlow extends FlowRecord {
  readonly id: string;
  readonly clusterId: string;
}

/** Newest or oldest first, by the time of the last packet; ties are broken by ingest. */
export type FlowOrder = 'newest' | 'oldest';

/** Where a page ended: the sort key of its last flow. */
export interface FlowPosition {
  readonly lastSeenUs: number;
  readonly batch: string;
  readonly row: number;
}

export interface FlowQuery {
  /** Absent: all clusters in the actor's scope. */
  readonly clusterId?: string;
  readonly selection: FlowSelection;
  /** Last packet at or after; Unix microseconds. */
  readonly sinceUs: number;
  /** Last packet before. */
  readonly untilUs: number;
  readonly order: FlowOrder;
  /** 1 to 1,000. */
  readonly limit: number;
  readonly after?: FlowPosition;
}

export interface FlowPage {
  readonly flows: readonly StoredFlow[];
  /** Absent on the last page. A page may hold fewer flows than asked for, or none, and go on: seldom flows in a long window take several pages. */
  readonly next?: FlowPosition;
  readonly coverage: FlowCoverage;
}

/** A place in the order in which batches were committed: resuming from it gives every later flow exactly once. */
export interface IngestPosition {
  /** Commits before this one have been read (a number of the store's own). */
  readonly commit: string;
  readonly batch: string;
}

export interface FlowTail {
  readonly flows: readonly StoredFlow[];
  readonly position: IngestPosition;
  /** More is there now. */
  readonly more: boolean;
}

/** One flow as rollups and follow see it is a row; everything here is limited to the tenant and scope of the context. */
export interface FlowReader {
  list(context: TenantContext, query: FlowQuery): Promise<FlowPage>;
  /** The position after everything committed so far. */
  now(context: TenantContext): Promise<IngestPosition>;
  /** Flows committed after `position`, in ingest order; whole batches, at least one when there is any. */
  tail(context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'selection'>, position: IngestPosition, limit: number): Promise<FlowTail>;
  coverage(context: TenantContext, query: Pick<FlowQuery, 'clusterId' | 'sinceUs' | 'untilUs'>): Promise<FlowCoverage>;
}

export interface FlowEdgeQuery {
  readonly clusterId?: string;
  /** Whole minutes that begin in the window. */
  readonly sinceUs: number;
  readonly untilUs: number;
  /** Busiest edges that are told apart; 1 to 20,000. */
  readonly limit: number;
}

export interface FlowEdgeAnswer {
  readonly edges: readonly FlowEdge[];
  /** Edges beyond the limit, with their sums. */
  readonly beyond: { readonly edges: number; readonly flows: number; readonly bytes: number };
  readonly coverage: FlowCoverage;
}

/** Reads sums, never single flows: as fast for a day as for an hour. */
export interface FlowEdgeReader {
  edges(context: TenantContext, query: FlowEdgeQuery): Promise<FlowEdgeAnswer>;
}

export interface FlowDnsQuery {
  readonly clusterId?: string;
  /** Answers seen at or after; Unix microseconds. */
  readonly sinceUs: number;
  readonly untilUs: number;
  /** Names that are told apart, most asked first; 1 to 5,000. */
  readonly limit: number;
}

export interface FlowDnsAnswers {
  readonly names: readonly FlowDnsName[];
  /** Names beyond the limit, and how often they were asked. */
  readonly beyond: { readonly names: number; readonly lookups: number };
}

export interface FlowCounts {
  /** One for every combination that occurred. */
  readonly counts: readonly FlowCount[];
  readonly position: IngestPosition;
  /** More is there now. */
  readonly more: boolean;
}

/** Counts single flows inside the store; everything here is limited to the tenant and scope of the context. */
export interface FlowStatistics {
  /** What names were asked for, by flows with a DNS answer. */
  dnsNames(context: TenantContext, query: FlowDnsQuery): Promise<FlowDnsAnswers>;
  /** A position with every batch that was stored at or after `us` behind it; batches stored before may be behind it too when their commits overlapped. */
  positionAt(context: TenantContext, us: number): Promise<IngestPosition>;
  /**
   * Counts the flows committed after `position` that have an HTTP request, a DNS answer, TCP flags (at the beginning, the end or
   * the denial of a connection) or an ICMP type (likewise). Whole batches, at least one when there is any, and as many as `rows` allow.
   */
  counts(context: TenantContext, query: Pick<FlowQuery, 'clusterId'>, position: IngestPosition, rows: number): Promise<FlowCounts>;
}

/** A node that sent flows. */
export interface FlowSourceNode {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly name: string;
  /** When its last batch was stored. */
  readonly lastReportUs: number;
  /** Where the time begins that the numbers below count: the first that the node reported on, or the time asked about. */
  readonly countedSinceUs: number;
  readonly storedFlows: number;
  readonly seenFlows: number;
}

/** Who reports, and about which namespaces. */
export interface FlowSources {
  nodes(context: TenantContext, sinceUs: number): Promise<readonly FlowSourceNode[]>;
  /** Sorted by cluster, then namespace. */
  namespaces(context: TenantContext, sinceUs: number): Promise<readonly { readonly cluster: string; readonly namespace: string }[]>;
}

export interface FlowSummaryRetention {
  readonly minuteDays: number;
  readonly hourDays: number;
  /** Longer than any agent keeps a batch on disk, and than flows are kept. */
  readonly ledgerDays: number;
}

/** Keeps room for flows and lets old ones go. */
export interface FlowKeeping {
  /** Makes room for the days ahead. @returns how many were added */
  prepare(daysAhead: number): Promise<number>;
  /** Removes flows of days that ended more than `days` ago. @returns how many days were removed */
  expire(days: number): Promise<number>;
  /** Merges finished sums of one tenant. @returns how many parts were merged */
  compact(context: TenantContext): Promise<number>;
  /** Finds what of one tenant was acknowledged long enough ago and is not in the store: coverage counts it until it is. @returns how many batches were found */
  account(context: TenantContext): Promise<number>;
  /** Removes sums and ledger rows of one tenant past their time. */
  forget(context: TenantContext, retention: FlowSummaryRetention): Promise<void>;
}
