/** Real traffic through every configuration, interleaved. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CONFIGURATIONS, FIGURES, SERIES, type Name, type Series } from './comparisons.ts';
import { Configuration, hasCommand } from './configurations.ts';
import { measureRuns } from './program-runs.ts';
import { compare, interleave, median, ratios, type Comparison } from './ratio.ts';

export interface TrafficResult {
  readonly comparisons: readonly (Comparison & { readonly verdict: string })[];
  /** Operations (streams: bytes) per second, medians: `crr_per_s_none`, … */
  readonly rates: Readonly<Record<string, number>>;
  readonly singles: Readonly<Record<string, number>>;
  /** Configurations that could not be made here, and why. */
  readonly missing: readonly string[];
}

const SPEED_UP_FACTOR = 1.5;

async function start(program: string, say: (text: string) => void): Promise<{ networks: Map<Name, Configuration>; missing: string[] }> {
  const networks = new Map<Name, Configuration>();
  const missing: string[] = [];
  for (const [name, { filter, ...rest }] of Object.entries(CONFIGURATIONS) as [Name, (typeof CONFIGURATIONS)[Name]][]) {
    const needs = 'needs' in rest ? rest.needs : undefined;
    if (needs !== undefined && !hasCommand(needs)) {
      missing.push(`${name}: ${needs} is not installed`);
      continue;
    }
    const configuration = new Configuration(program);
    networks.set(name, configuration);
    try {
      await configuration.start(filter);
      await configuration.measure('crr', 0.1);
    } catch (error) {
      missing.push(`${name}: ${(error as Error).message.split('\n')[0]}`);
      networks.delete(name);
      await configuration.stop();
    }
  }
  for (const reason of missing) say(`not measured: ${reason}`);
  return { networks, missing };
}

/** A ratio that only has to be above a large limit is decided when its whole interval is. */
function verdictOf({ target }: (typeof FIGURES)[number], { median: value, low, high, decided, samples }: Comparison): string {
  if (target === undefined) return decided ? 'no target' : 'undecided';
  const clear = samples.length >= 15 && value >= SPEED_UP_FACTOR && target.met(low) === target.met(high);
  if (!decided && !clear) return 'undecided';
  return target.met(value) ? 'met' : 'missed';
}

export async function measureTraffic(quick: boolean, say: (text: string) => void): Promise<TrafficResult> {
  const folder = mkdtempSync(join(tmpdir(), 'palisade-bench-'));
  const program = join(folder, 'traffic');
  execFileSync(process.env['CC'] ?? 'gcc', ['-O2', '-o', program, fileURLToPath(new URL('./traffic.c', import.meta.url))]);
  const { networks, missing } = await start(program, say);
  const comparisons: TrafficResult['comparisons'][number][] = [];
  const rates: Record<string, number> = {};
  let singles = {};
  const shortened = (series: Series): Series => (quick ? { ...series, rounds: 3, seconds: Math.min(0.1, series.seconds) } : series);
  try {
    const filtered = networks.get('palisade-100k');
    if (filtered !== undefined) singles = await measureRuns(filtered);
    say(JSON.stringify(singles));
    for (const { kind, names, rounds, seconds } of (quick ? SERIES.slice(0, 6) : SERIES).map(shortened)) {
      const present = names.filter((name) => networks.has(name));
      const { rates: measured } = await interleave(rounds, present.map((name) => async () => (await networks.get(name)?.measure(kind, seconds)) ?? NaN));
      const of = (name: Name): readonly number[] | undefined => measured[present.indexOf(name)];
      for (const name of present) rates[`${kind}_per_s_${name.replaceAll('-', '_')}`] ??= Math.round(median(of(name) ?? []));
      for (const wanted of FIGURES) {
        const [a, b] = [of(wanted.a), of(wanted.b)];
        if (wanted.kind !== kind || a === undefined || b === undefined || comparisons.some(({ name }) => name === wanted.figure)) continue;
        const result = compare(wanted.figure, ratios(a, b));
        const verdict = verdictOf(wanted, result);
        comparisons.push({ ...result, verdict });
        say(`${wanted.figure}: ${result.median.toFixed(3)} [${result.low.toFixed(3)}, ${result.high.toFixed(3)}] target ${wanted.target?.text ?? '–'}: ${verdict}`);
        say(`  samples ${result.samples.map((sample) => sample.toFixed(3)).join(' ')}`);
      }
    }
  } finally {
    for (const configuration of networks.values()) await configuration.stop();
    rmSync(folder, { recursive: true });
  }
  return { comparisons, rates, singles, missing };
}
