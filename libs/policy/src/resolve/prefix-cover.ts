/**
 * The fewest prefix entries that make the kernel's lookup give a wanted function of the port.
 * Draves et al., "Constructing Optimal IP Routing Tables" (INFOCOM 1999), on 16-bit ports instead of addresses, with one
 * addition: a port that no entry covers falls back to a function of its own (the entries of ANY_CLASS, or a default).
 */

/** Piecewise constant function on 0..65535: `starts` ascending from 0, `values[i]` holds from `starts[i]` on. */
export interface PortSteps {
  readonly starts: readonly number[];
  readonly values: readonly number[];
}

export interface PrefixEntry {
  readonly port: number;
  readonly length: number;
  readonly value: number;
}

export const PORT_BITS = 16;
const PORTS = 1 << PORT_BITS;

export function constantSteps(value: number): PortSteps {
  return { starts: [0], values: [value] };
}

interface TrieNode {
  readonly port: number;
  readonly length: number;
  /** On a leaf: index of the wanted value, and whether the fallback gives it too. */
  readonly wanted: number;
  readonly fallbackAgrees: boolean;
  readonly left?: TrieNode;
  readonly right?: TrieNode;
  /** Entries needed below when the value inherited from above is the index; last: nothing is inherited. */
  readonly cost: readonly number[];
}

/**
 * Entries, longest prefix wins, by which every port gets `wanted`, where uncovered ports get `fallback`.
 * Deterministic: among equally small covers the one whose entries lie deeper, then the value that occurs first.
 */
export function coverPrefixes(wanted: PortSteps, fallback: PortSteps): PrefixEntry[] {
  const palette = [...new Set(wanted.values)];
  const root = build(0, 0, { wanted, fallback, palette });
  const entries: PrefixEntry[] = [];
  emit(root, palette.length, palette, entries);
  return entries;
}

interface Problem {
  readonly wanted: PortSteps;
  readonly fallback: PortSteps;
  readonly palette: readonly number[];
}

function build(port: number, length: number, problem: Problem): TrieNode {
  const { wanted, fallback, palette } = problem;
  const size = PORTS >>> length;
  const at = stepAt(wanted, port);
  const fallbackAt = stepAt(fallback, port);
  if (endOf(wanted, at) >= port + size && endOf(fallback, fallbackAt) >= port + size) {
    const value = wanted.values[at] ?? 0;
    const index = palette.indexOf(value);
    const fallbackAgrees = fallback.values[fallbackAt] === value;
    const cost = palette.map((_, inherited) => (inherited === index ? 0 : 1));
    cost.push(fallbackAgrees ? 0 : 1);
    return { port, length, wanted: index, fallbackAgrees, cost };
  }
  const left = build(port, length + 1, problem);
  const right = build(port + size / 2, length + 1, problem);
  const below = left.cost.map((cost, i) => cost + (right.cost[i] ?? 0));
  const own = 1 + Math.min(...below.slice(0, palette.length));
  return { port, length, wanted: -1, fallbackAgrees: false, left, right, cost: below.map((cost) => Math.min(cost, own)) };
}

function emit(node: TrieNode, inherited: number, palette: readonly number[], entries: PrefixEntry[]): void {
  const { left, right } = node;
  if (left === undefined || right === undefined) {
    if ((node.cost[inherited] ?? 0) > 0) entries.push({ port: node.port, length: node.length, value: palette[node.wanted] ?? 0 });
    return;
  }
  let carried = inherited;
  const below = (value: number): number => (left.cost[value] ?? 0) + (right.cost[value] ?? 0);
  if (below(inherited) > (node.cost[inherited] ?? 0)) {
    carried = palette.findIndex((_, value) => below(value) + 1 === node.cost[inherited]);
    entries.push({ port: node.port, length: node.length, value: palette[carried] ?? 0 });
  }
  emit(left, carried, palette, entries);
  emit(right, carried, palette, entries);
}

/** Index of the step that holds `port`. */
function stepAt({ starts }: PortSteps, port: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((starts[middle] ?? 0) <= port) low = middle;
    else high = middle - 1;
  }
  return low;
}

function endOf({ starts }: PortSteps, step: number): number {
  return starts[step + 1] ?? PORTS;
}

/** Value of the function at a port. */
export function valueAt(steps: PortSteps, port: number): number {
  return steps.values[stepAt(steps, port)] ?? 0;
}
