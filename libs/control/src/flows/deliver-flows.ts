import { EVERY_FLOW, otlpLogs, otlpMetrics } from '@palisade/flow';
import type { TenantContext } from '@palisade/tenancy';
import type { FlowSinkDeliveries, FlowSinkProgress, FlowSinkTransport, LeasedFlowSink } from './flow-sink.ts';
import type { FlowReader } from './flow-store.ts';
import type { ReadFlowMetrics } from './read-flow-metrics.ts';

/** Flows of one request (whole batches may be more), and requests of one turn: one sink must not hold up the others. */
const PORTION = 500;
const PORTIONS = 20;
const LEASE_MS = 120_000;
const METRICS_EVERY_MS = 60_000;
const IDLE_MS = 2_000;
const FIRST_RETRY_MS = 2_000;
const LONGEST_RETRY_MS = 300_000;
const DAY_US = 86_400_000_000;

export interface DeliverFlowsPorts {
  readonly flows: Pick<FlowReader, 'tail'>;
  readonly metrics: Pick<ReadFlowMetrics, 'execute'>;
  readonly transport: FlowSinkTransport;
  readonly deliveries: (context: TenantContext) => FlowSinkDeliveries;
  readonly now?: () => number;
}

interface Turn {
  position: LeasedFlowSink['position'];
  sentFlows: number;
  rejectedFlows: number;
  sentUntilUs?: number;
  caughtUp: boolean;
  metricsSent: boolean;
  error?: string;
  askedRetryMs?: number;
}

/**
 * Serves one sink: sends what was committed since its position, in order of ingest, and moves the position only after the
 * receiver has accepted (at least once: a crash in between sends a portion again). What the receiver refuses for good is
 * counted and passed over, as OTLP asks; everything else is tried again, ever more slowly.
 */
export class DeliverFlows {
  readonly #ports: DeliverFlowsPorts;

  constructor(ports: DeliverFlowsPorts) {
    this.#ports = ports;
  }

  /** @returns whether more waits now */
  async execute(context: TenantContext, sinkId: string): Promise<boolean> {
    const deliveries = this.#ports.deliveries(context);
    const sink = await deliveries.lease(sinkId, LEASE_MS);
    if (sink === undefined) return false;
    const turn: Turn = { position: sink.position, sentFlows: 0, rejectedFlows: 0, caughtUp: !sink.logs, metricsSent: false };
    try {
      if (sink.logs) await this.#sendLogs(context, sink, turn);
      if (sink.metrics && turn.error === undefined) await this.#sendMetrics(context, sink, turn);
    } catch (error) {
      turn.error = `Reading the flows failed: ${error instanceof Error ? error.message : String(error)}`;
    }
    await deliveries.settle(sinkId, progressOf(turn, sink));
    return turn.error === undefined && !turn.caughtUp;
  }

  async #sendLogs(context: TenantContext, sink: LeasedFlowSink, turn: Turn): Promise<void> {
    for (let portion = 0; portion < PORTIONS; portion++) {
      const tail = await this.#ports.flows.tail(context, { selection: EVERY_FLOW }, turn.position, PORTION);
      for (let start = 0; start < tail.flows.length; start += PORTION) {
        const flows = tail.flows.slice(start, start + PORTION);
        const answer = await this.#ports.transport.send(sink, 'logs', otlpLogs(context.tenantId, flows, this.#nowUs()));
        if (answer.kind === 'failed') {
          turn.error = answer.message ?? 'The receiver did not accept.';
          if (answer.retryAfterMs !== undefined) turn.askedRetryMs = answer.retryAfterMs;
          return;
        }
        const rejected = answer.kind === 'rejected' ? flows.length : Math.min(answer.rejected, flows.length);
        turn.sentFlows += flows.length - rejected;
        turn.rejectedFlows += rejected;
        turn.sentUntilUs = flows.reduce((latest, { lastSeenUs }) => Math.max(latest, lastSeenUs), turn.sentUntilUs ?? 0);
      }
      turn.position = tail.position;
      if (!tail.more) {
        turn.caughtUp = true;
        return;
      }
    }
  }

  async #sendMetrics(context: TenantContext, sink: LeasedFlowSink, turn: Turn): Promise<void> {
    const nowUs = this.#nowUs();
    if (sink.metricsAt !== undefined && nowUs / 1000 - sink.metricsAt.getTime() < METRICS_EVERY_MS) return;
    const families = await this.#ports.metrics.execute(context);
    const answer = await this.#ports.transport.send(sink, 'metrics', otlpMetrics(context.tenantId, families, Math.floor(nowUs / DAY_US) * DAY_US, nowUs));
    if (answer.kind === 'accepted') turn.metricsSent = true;
    else turn.error = answer.message ?? 'The receiver did not accept the metrics.';
  }

  #nowUs(): number {
    return (this.#ports.now?.() ?? Date.now()) * 1000;
  }
}

function progressOf({ askedRetryMs, ...turn }: Turn, { failures }: LeasedFlowSink): FlowSinkProgress {
  if (turn.error === undefined) return { ...turn, retryAfterMs: turn.caughtUp ? IDLE_MS : 0 };
  return { ...turn, retryAfterMs: Math.min(LONGEST_RETRY_MS, Math.max(askedRetryMs ?? 0, FIRST_RETRY_MS * 2 ** Math.min(failures, 10))) };
}
