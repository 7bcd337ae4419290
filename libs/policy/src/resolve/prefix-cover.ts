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

/** A block of ports and the least number of entries needed inside it, by what it inherits from above. */
interface Block {
  readonly port: number;
  readonly length: number;
  /** Entries needed when one of `best` is inherited; any other value costs one more. */
  readonly cost: number;
  readonly best: readonly number[];
  /** Entries needed when nothing is inherited, so that uncovered ports fall back. */
  readonly uncovered: number;
  readonly left?: Block;
  readonly right?: Block;
}

/**
 * Entries, longest prefix wins, by which every port gets `wanted`, where uncovered ports get `fallback`.
 * Among equally small covers it takes the one whose entries lie deeper, then the value that occurs first: the numbers
 * of values do not matter, only where they are equal.
 */
export function coverPrefixes(wanted: PortSteps, fallback: PortSteps): PrefixEntry[] {
  const palette = [...new Set(wanted.values)];
  const ranks = new Map(palette.map((value, rank) => [value, rank]));
  const ranked = ({ starts, values }: PortSteps): PortSteps => ({ starts, values: values.map((value) => ranks.get(value) ?? -1) });
  const entries: PrefixEntry[] = [];
  emit(build(0, 0, ranked(wanted), ranked(fallback)), undefined, entries);
  return entries.map((entry) => ({ ...entry, value: palette[entry.value] ?? 0 }));
}

function build(port: number, length: number, wanted: PortSteps, fallback: PortSteps): Block {
  const size = PORTS >>> length;
  const at = stepAt(wanted, port);
  const fallbackAt = stepAt(fallback, port);
  if (endOf(wanted, at) >= port + size && endOf(fallback, fallbackAt) >= port + size) {
    const value = wanted.values[at] ?? 0;
    return { port, length, cost: 0, best: [value], uncovered: fallback.values[fallbackAt] === value ? 0 : 1 };
  }
  const left = build(port, length + 1, wanted, fallback);
  const right = build(port + size / 2, length + 1, wanted, fallback);
  const both = intersection(left.best, right.best);
  const cost = left.cost + right.cost + (both.length > 0 ? 0 : 1);
  return {
    port,
    length,
    cost,
    best: both.length > 0 ? both : [...left.best, ...right.best].sort((a, b) => a - b),
    uncovered: Math.min(left.uncovered + right.uncovered, cost + 1),
    left,
    right,
  };
}

/** Both ascending. */
function intersection(a: readonly number[], b: readonly number[]): readonly number[] {
  if (a.length === 1 && b.length === 1) return a[0] === b[0] ? a : [];
  return a.filter((value) => b.includes(value));
}

function costOf(block: Block, inherited: number | undefined): number {
  return inherited === undefined ? block.uncovered : block.cost + (block.best.includes(inherited) ? 0 : 1);
}

function emit(block: Block, inherited: number | undefined, entries: PrefixEntry[]): void {
  const { left, right } = block;
  const own = { port: block.port, length: block.length, value: block.best[0] ?? 0 };
  if (left === undefined || right === undefined) {
    if (costOf(block, inherited) > 0) entries.push(own);
    return;
  }
  const needsEntry = costOf(left, inherited) + costOf(right, inherited) > costOf(block, inherited);
  if (needsEntry) entries.push(own);
  const carried = needsEntry ? own.value : inherited;
  emit(left, carried, entries);
  emit(right, carried, entries);
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
