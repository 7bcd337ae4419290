/**
 * What an agent saw and what became of it, as deltas per batch: `seen = exported + sampled + dropped`.
 * Counts are flow events; `evicted` counts connections that left the kernel's table before their last delta.
 */

/** Where an event can be lost; the names are part of the wire contract. */
export const FLOW_LOSS_REASONS = [
  'ring-full', // the kernel's ring buffer had no room
  'evicted', // the connection left the kernel's table before its last delta was read
  'spool-full', // the agent's disk budget was used up: oldest batches go first, allowed before denied
  'agent-restart', // drained from the kernel, lost with the process before reaching the disk
  'refused', // the gateway refused the batch (quota, malformed)
  'not-landed', // a gateway acknowledged it, and the store does not have it: still on that gateway's disk, or lost with it
  'outside-retention', // older or newer than any partition
] as const;
export type FlowLossReason = (typeof FLOW_LOSS_REASONS)[number];

export type FlowLosses = Readonly<Partial<Record<FlowLossReason, number>>>;

export interface FlowAccount {
  readonly seen: number;
  readonly exported: number;
  /** Left out on purpose: the weights of the exported rows stand for them. */
  readonly sampled: number;
  readonly dropped: FlowLosses;
}

export const EMPTY_ACCOUNT: FlowAccount = { seen: 0, exported: 0, sampled: 0, dropped: {} };

export function totalLost(losses: FlowLosses): number {
  return FLOW_LOSS_REASONS.reduce((sum, reason) => sum + (losses[reason] ?? 0), 0);
}

/** True where every event that was seen is explained. */
export function isBalanced(account: FlowAccount): boolean {
  return account.seen === account.exported + account.sampled + totalLost(account.dropped);
}

export function addAccounts(left: FlowAccount, right: FlowAccount): FlowAccount {
  const dropped: Partial<Record<FlowLossReason, number>> = { ...left.dropped };
  for (const reason of FLOW_LOSS_REASONS) {
    const more = right.dropped[reason] ?? 0;
    if (more > 0) dropped[reason] = (dropped[reason] ?? 0) + more;
  }
  return {
    seen: left.seen + right.seen,
    exported: left.exported + right.exported,
    sampled: left.sampled + right.sampled,
    dropped,
  };
}

/** How far an answer can be trusted: comes with every answer about flows. */
export interface FlowCoverage {
  /** Nothing was lost and nothing sampled in the window that was asked about. */
  readonly complete: boolean;
  readonly lost: number;
  readonly sampled: number;
  readonly losses: FlowLosses;
}
