/** Comparing two configurations that run interleaved (ABBA), so that slow drifts of the machine cancel out. */

export interface Comparison {
  readonly name: string;
  /** Time per operation of B over A, one value a round. */
  readonly samples: readonly number[];
  readonly median: number;
  /** 95 % interval of the median (order statistics). */
  readonly low: number;
  readonly high: number;
  /** The half-width is at most 2 % of the median. */
  readonly decided: boolean;
}

/** Ranks (from 1) whose order statistics hold the median with at least 95 %, for n independent samples. */
function medianRanks(n: number): readonly [number, number] {
  let cumulative = 0;
  let probability = 2 ** -n;
  let rank = 0;
  while (rank < n / 2 && cumulative + probability <= 0.025) {
    cumulative += probability;
    probability *= (n - rank) / (rank + 1);
    rank += 1;
  }
  return [Math.max(1, rank), Math.min(n, n + 1 - Math.max(1, rank))];
}

export function compare(name: string, samples: readonly number[]): Comparison {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = median(samples);
  const [low, high] = medianRanks(sorted.length).map((rank) => sorted[rank - 1] ?? NaN) as [number, number];
  return { name, samples, median: middle, low, high, decided: samples.length >= 15 && (high - low) / 2 <= 0.02 * middle };
}

export interface Measured {
  /** Operations per second of each contestant, one value a round. */
  readonly rates: readonly (readonly number[])[];
}

/**
 * Runs `rounds` times all contestants forwards and then backwards (A B B A), so that what drifts evenly cancels in every
 * ratio. Each runner gives operations per second; one value a round is the harmonic mean of its two runs.
 */
export async function interleave(rounds: number, runners: readonly (() => Promise<number>)[]): Promise<Measured> {
  const rates: number[][] = runners.map(() => []);
  for (let round = 0; round < rounds; round += 1) {
    const forwards: number[] = [];
    for (const run of runners) forwards.push(await run());
    const backwards: number[] = [];
    for (const run of runners.toReversed()) backwards.unshift(await run());
    for (const [index, list] of rates.entries()) list.push(2 / (1 / (forwards[index] ?? NaN) + 1 / (backwards[index] ?? NaN)));
  }
  return { rates };
}

/** Time per operation of `b` over `a`, round by round. */
export function ratios(a: readonly number[], b: readonly number[]): number[] {
  return a.map((rate, round) => rate / (b[round] ?? NaN));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle)] ?? NaN)) / 2;
}
