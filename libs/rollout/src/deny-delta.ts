/** Denials of one group of nodes over a window. */
export interface DenyWindow {
  readonly nodes: number;
  readonly deniedPackets: number;
  /** Length of the window. */
  readonly seconds: number;
}

export type DenyDelta =
  | { readonly kind: 'measured'; readonly perNodePerSecond: number }
  | { readonly kind: 'unmeasured'; readonly why: string };

/**
 * Rate of newly denied packets on updated nodes against their own baseline, less what nodes not yet updated saw change
 * in the same time (a scan that hits everybody is not the rollout's doing). Never negative.
 */
export function denyDelta(input: {
  readonly updatedBefore: DenyWindow;
  readonly updatedAfter: DenyWindow;
  readonly othersBefore: DenyWindow | null;
  readonly othersAfter: DenyWindow | null;
}): DenyDelta {
  const before = rate(input.updatedBefore);
  const after = rate(input.updatedAfter);
  if (before === null || after === null) return { kind: 'unmeasured', why: 'the updated nodes have no complete window before and after' };
  const othersBefore = input.othersBefore === null ? null : rate(input.othersBefore);
  const othersAfter = input.othersAfter === null ? null : rate(input.othersAfter);
  const background = othersBefore === null || othersAfter === null ? 0 : Math.max(0, othersAfter - othersBefore);
  return { kind: 'measured', perNodePerSecond: Math.max(0, after - before - background) };
}

function rate(window: DenyWindow): number | null {
  return window.nodes > 0 && window.seconds > 0 ? window.deniedPackets / window.nodes / window.seconds : null;
}
