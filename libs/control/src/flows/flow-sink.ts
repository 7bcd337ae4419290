import type { AuditLog } from '../audit/audit-log.ts';
import type { Page, PageRequest } from '../page.ts';
import type { IngestPosition } from './flow-store.ts';

/** Where a tenant's flows (as OTLP logs) and metrics are sent to. */
export interface FlowSinkSetting {
  /** Base of OTLP/HTTP: `/v1/logs` and `/v1/metrics` are added. */
  readonly endpoint: string;
  readonly logs: boolean;
  readonly metrics: boolean;
  readonly enabled: boolean;
}

/** How sending goes. */
export interface FlowSinkState {
  readonly sentFlows: number;
  /** Flows that the receiver refused for good. */
  readonly rejectedFlows: number;
  /** Last packet of the newest flow sent. */
  readonly sentUntil?: Date;
  /** When nothing waited last: what is stored since is the backlog. */
  readonly caughtUpAt?: Date;
  readonly metricsAt?: Date;
  readonly failingSince?: Date;
  readonly lastError?: string;
  readonly nextAttemptAt: Date;
}

export interface FlowSinkRecord extends FlowSinkSetting, FlowSinkState {
  readonly id: string;
  readonly name: string;
  /** Names only: values are never read back. */
  readonly headerNames: readonly string[];
  readonly version: number;
  readonly createdBy: string;
  readonly createdAt: Date;
}

export interface NewFlowSink extends FlowSinkSetting {
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly position: IngestPosition;
  readonly createdBy: string;
}

export interface FlowSinkRepository {
  /** @throws DomainError `resource.conflict` when the name is taken */
  insert(sink: NewFlowSink): Promise<FlowSinkRecord>;
  list(page: PageRequest): Promise<Page<FlowSinkRecord>>;
  find(id: string): Promise<FlowSinkRecord | undefined>;
  count(): Promise<number>;
  /** Tries again at once. @returns undefined when the version is another by now */
  update(id: string, setting: FlowSinkSetting & { readonly headers?: Readonly<Record<string, string>> }, versionBefore: number): Promise<FlowSinkRecord | undefined>;
  remove(id: string): Promise<boolean>;
}

export interface FlowSinkRepositories {
  readonly flowSinks: FlowSinkRepository;
  readonly audit: AuditLog;
}

/** A sink that is this worker's to serve for a while. */
export interface LeasedFlowSink extends FlowSinkSetting {
  readonly id: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly position: IngestPosition;
  readonly metricsAt?: Date;
  readonly failures: number;
}

export interface FlowSinkProgress {
  readonly position: IngestPosition;
  readonly sentFlows: number;
  readonly rejectedFlows: number;
  readonly sentUntilUs?: number;
  readonly caughtUp: boolean;
  readonly metricsSent: boolean;
  /** Absent: all went well. */
  readonly error?: string;
  readonly retryAfterMs: number;
}

/** The worker's side. */
export interface FlowSinkDeliveries {
  /** Takes a sink that is due and nobody else's; undefined when there is none such any more. */
  lease(id: string, leaseMs: number): Promise<LeasedFlowSink | undefined>;
  /** Where sending goes on, how it went, and gives the sink back. */
  settle(id: string, progress: FlowSinkProgress): Promise<void>;
}

export interface FlowSinkAnswer {
  readonly kind: 'accepted' | 'rejected' | 'failed';
  /** Of the flows sent. */
  readonly rejected: number;
  /** Why, for people. */
  readonly message?: string;
  /** What the receiver asks for. */
  readonly retryAfterMs?: number;
}

/** Sends one OTLP request. Never rejects: what goes wrong is an answer. */
export interface FlowSinkTransport {
  send(sink: Pick<LeasedFlowSink, 'endpoint' | 'headers'>, signal: 'logs' | 'metrics', body: unknown): Promise<FlowSinkAnswer>;
}
