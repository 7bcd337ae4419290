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
  const middle = (sorted.length - 1) / 2;
  const median = ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle)] ?? NaN)) / 2;
  const [low, high] = medianRanks(sorted.length).map((rank) => sorted[rank - 1] ?? NaN) as [number, number];
  return { name, samples, median, low, high, decided: samples.length >= 15 && (high - low) / 2 <= 0.02 * median };
}

/** Runs `rounds` times A B B A; each runner gives operations per second. */
export async function interleave(name: string, rounds: number, a: () => Promise<number>, b: () => Promise<number>): Promise<Comparison> {
  const samples: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const rates = [await a(), await b(), await b(), await a()];
    const [a1 = NaN, b1 = NaN, b2 = NaN, a2 = NaN] = rates.map((rate) => 1 / rate);
    samples.push((b1 + b2) / (a1 + a2));
  }
  return compare(name, samples);
}
