/** A node of a rollout: its wave, and whether it is made to fail. */
export interface PlannedNode {
  readonly wave: number;
  readonly fails: boolean;
}

/** The first wave of which more than the tolerated fraction fails, where a rollout must halt; -1: none. */
export function rightWave(nodes: readonly PlannedNode[], tolerated: number): number {
  const waves = Map.groupBy(nodes, ({ wave }) => wave);
  for (const wave of [...waves.keys()].toSorted((a, b) => a - b)) {
    const own = waves.get(wave) ?? [];
    if (own.filter(({ fails }) => fails).length > tolerated * own.length) return wave;
  }
  return -1;
}
