import type { ClusterFacts, FactsIncrement } from '@palisade/policy';

const origins = new WeakMap<ClusterFacts, { readonly before: ClusterFacts; readonly step: FactsIncrement }>();

/** Remembers that `after` is `before` with one step taken. */
export function rememberStep(before: ClusterFacts, step: FactsIncrement, after: ClusterFacts): void {
  origins.set(after, { before, step });
  // Only the way from the last few states matters; older ones must not be kept alive.
  let state: ClusterFacts | undefined = before;
  for (let kept = 0; kept < MAX_STEPS && state !== undefined; kept += 1) state = origins.get(state)?.before;
  if (state !== undefined) origins.delete(state);
}

/** More steps than this are no shorter than starting anew. */
export const MAX_STEPS = 32;

/** The steps that lead from one state to another, in order; undefined when the way is not known. */
export function stepsBetween(from: ClusterFacts, to: ClusterFacts): readonly FactsIncrement[] | undefined {
  const steps: FactsIncrement[] = [];
  let state = to;
  while (state !== from) {
    const origin = origins.get(state);
    if (origin === undefined || steps.length >= MAX_STEPS) return undefined;
    steps.unshift(origin.step);
    state = origin.before;
  }
  return steps;
}
