/** What a workload is told and what it answers, over the channel between the demo and its process. */

export interface StreamPlan {
  /** `frontend-1 → backend-2 :8080 kept-alive`. */
  readonly id: string;
  readonly host: string;
  readonly port: number;
  /** One connection for many requests, or one for each. */
  readonly connections: 'kept-alive' | 'new';
  readonly perSecond: number;
  /** After this a request counts as failed. */
  readonly timeoutMs: number;
}

export interface WorkloadConfig {
  readonly name: string;
  readonly listenPort: number;
  readonly streams: readonly StreamPlan[];
}

export interface StreamCounts {
  readonly id: string;
  readonly sent: number;
  readonly ok: number;
  readonly failed: number;
  /** The slowest answer since the last question, in milliseconds. */
  readonly slowestMs: number;
  /** The latest failures, at most ten: when (epoch milliseconds) and what. */
  readonly failures: readonly { readonly at: number; readonly error: string }[];
}

export interface CountsRequest {
  readonly ask: 'counts';
  readonly serial: number;
}

export interface CountsReply {
  readonly serial: number;
  readonly served: number;
  readonly streams: readonly StreamCounts[];
}

export interface ReadyReply {
  readonly ready: true;
}
