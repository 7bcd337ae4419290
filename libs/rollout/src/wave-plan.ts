/** Which node goes in which wave. The same nodes, strategy and seed give the same plan. */

export interface PlannedNode {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly online: boolean;
}

/** Waves by size: a count of nodes, or a cumulative fraction of the fleet. */
export type WaveSize = { readonly nodes: number } | { readonly fraction: number };

export type WaveStrategy =
  | { readonly kind: 'sizes'; readonly sizes: readonly WaveSize[] }
  /** Rings in order; a node belongs to the first ring whose labels it has, the rest form a last wave. */
  | { readonly kind: 'rings'; readonly rings: readonly { readonly name: string; readonly matchLabels: Readonly<Record<string, string>> }[] };

/** One canary, 10 %, 50 %, everybody. */
export const DEFAULT_WAVES: WaveStrategy = { kind: 'sizes', sizes: [{ nodes: 1 }, { fraction: 0.1 }, { fraction: 0.5 }, { fraction: 1 }] };

export interface PlannedWave {
  readonly name: string;
  readonly nodeIds: readonly string[];
}

/**
 * Splits the fleet into waves; waves that would be empty are left out, so that two nodes are a canary and the rest.
 * Online nodes come first: an offline canary would say nothing. The order is otherwise spread by the seed, so that the
 * same node is not everybody's canary.
 */
export function planWaves(nodes: readonly PlannedNode[], strategy: WaveStrategy, seed: string): readonly PlannedWave[] {
  const ordered = [...nodes].sort((a, b) => Number(b.online) - Number(a.online) || spread(seed, a.id) - spread(seed, b.id) || (a.id < b.id ? -1 : 1));
  return strategy.kind === 'rings' ? planRings(ordered, strategy.rings) : planSizes(ordered, strategy.sizes);
}

function planSizes(ordered: readonly PlannedNode[], sizes: readonly WaveSize[]): PlannedWave[] {
  const waves: PlannedWave[] = [];
  let taken = 0;
  for (const size of [...sizes, { fraction: 1 } as const]) {
    const upTo = Math.min(ordered.length, 'nodes' in size ? taken + size.nodes : Math.ceil(size.fraction * ordered.length));
    if (upTo <= taken) continue;
    const name = waves.length === 0 ? 'canary' : upTo === ordered.length ? 'rest' : `${Math.round((100 * upTo) / ordered.length)} %`;
    waves.push({ name, nodeIds: ordered.slice(taken, upTo).map((node) => node.id) });
    taken = upTo;
  }
  return waves;
}

function planRings(ordered: readonly PlannedNode[], rings: readonly { readonly name: string; readonly matchLabels: Readonly<Record<string, string>> }[]): PlannedWave[] {
  const members: string[][] = rings.map(() => []);
  const rest: string[] = [];
  for (const node of ordered) {
    const ring = rings.findIndex((candidate) => Object.entries(candidate.matchLabels).every(([key, value]) => node.labels[key] === value));
    (members[ring] ?? rest).push(node.id);
  }
  const waves = rings.map((ring, index) => ({ name: ring.name, nodeIds: members[index] ?? [] }));
  return [...waves, { name: 'rest', nodeIds: rest }].filter((wave) => wave.nodeIds.length > 0);
}

/** FNV-1a, 32 bit: spreads, does not protect. */
function spread(seed: string, id: string): number {
  let hash = 0x811c9dc5;
  for (const char of `${seed}/${id}`) hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193);
  return hash >>> 0;
}
