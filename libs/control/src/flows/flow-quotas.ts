import type { TenantId } from '@palisade/tenancy';
import type { SentFlowBatch } from './flow-store.ts';

/** What a tenant's plan allows. */
export interface FlowQuota {
  readonly flowsPerSecond: number;
  /** Compressed, as they come in; days are UTC. */
  readonly bytesPerDay: number;
}

export const NO_FLOW_QUOTA: FlowQuota = { flowsPerSecond: Number.POSITIVE_INFINITY, bytesPerDay: Number.POSITIVE_INFINITY };

/** A tenant that was quiet may send this many seconds' worth at once. */
const BURST_S = 10;
/** Longest that an agent is told to wait: quotas change, and days end. */
const LONGEST_WAIT_MS = 15 * 60_000;
const DAY_MS = 86_400_000;

interface Usage {
  /** Flows that may come now. Below zero after a batch larger than what was left: the next one waits for it. */
  tokens: number;
  atMs: number;
  day: number;
  bytes: number;
}

/**
 * Counts what tenants send against their quotas; in this process's memory, so each gateway counts what it took itself, from
 * its start. Over quota nothing is dropped here: the agent is told to wait, keeps the batch on its disk, and counts what
 * its disk cannot hold.
 */
export class FlowQuotas {
  readonly #quotaOf: (tenantId: TenantId) => FlowQuota;
  readonly #now: () => number;
  readonly #usage = new Map<string, Usage>();

  /** @param now milliseconds since the Unix epoch */
  constructor(quotaOf: (tenantId: TenantId) => FlowQuota, now: () => number = Date.now) {
    this.#quotaOf = quotaOf;
    this.#now = now;
  }

  /** Takes a batch's share. @returns 0, or how long to wait (milliseconds); then nothing was taken */
  take({ sender, batch, wireBytes = 0 }: SentFlowBatch): number {
    const quota = this.#quotaOf(sender.tenantId);
    const usage = this.#current(sender.tenantId, quota);
    if (usage.bytes >= quota.bytesPerDay) return Math.min(LONGEST_WAIT_MS, (usage.day + 1) * DAY_MS - usage.atMs);
    if (usage.tokens <= 0) return Math.min(LONGEST_WAIT_MS, Math.max(1, Math.ceil(((1 - usage.tokens) / quota.flowsPerSecond) * 1000)));
    usage.tokens -= batch.columns.rows;
    usage.bytes += wireBytes;
    return 0;
  }

  /** Gives back what was taken for a batch that was not stored after all. */
  giveBack({ sender, batch, wireBytes = 0 }: SentFlowBatch): void {
    const usage = this.#usage.get(sender.tenantId);
    if (usage === undefined) return;
    usage.tokens += batch.columns.rows;
    usage.bytes = Math.max(0, usage.bytes - wireBytes);
  }

  #current(tenantId: string, quota: FlowQuota): Usage {
    const nowMs = this.#now();
    const day = Math.floor(nowMs / DAY_MS);
    const most = quota.flowsPerSecond * BURST_S;
    let usage = this.#usage.get(tenantId);
    if (usage === undefined) this.#usage.set(tenantId, (usage = { tokens: most, atMs: nowMs, day, bytes: 0 }));
    if (usage.day !== day) usage.bytes = 0;
    usage.tokens = Math.min(most, usage.tokens + (Math.max(0, nowMs - usage.atMs) / 1000) * quota.flowsPerSecond);
    if (Number.isNaN(usage.tokens)) usage.tokens = most;
    usage.atMs = nowMs;
    usage.day = day;
    return usage;
  }
}
