/**
 * `npm run bench:datapath [-- --quick] [--json]`: what Palisade's programs cost, against no filtering, iptables and nftables,
 * on routed veth pairs. Needs root. Targets: see the table in docs/benchmarks.md.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { kernelUnavailable } from '../../apps/agent/src/enforcer/testing/kernel-available.ts';
import { Configuration, iptables, nftMap, nftRules, palisade, type Filter } from './configurations.ts';
import { measurePrograms } from './program-cost.ts';
import { interleave, type Comparison } from './ratio.ts';
import { measureSwaps } from './swap.ts';
import { measureTables } from './table-cost.ts';

const quick = process.argv.includes('--quick');
const json = process.argv.includes('--json');
const ROUNDS = quick ? 3 : 15;
const SECONDS = quick ? 0.1 : 0.25;

type Name = 'none' | 'palisade-10' | 'palisade-100k' | 'nft-map-10k' | 'nft-10k' | 'iptables-10k';
const FILTERS: Readonly<Record<Name, Filter | undefined>> = {
  none: undefined,
  'palisade-10': palisade(10),
  'palisade-100k': palisade(100_000),
  'nft-map-10k': nftMap(10_000),
  'nft-10k': nftRules(10_000),
  'iptables-10k': iptables(10_000),
};

/** Figure → time per operation of `b` over `a`; a speed-up is the same with Palisade as `a`. */
const COMPARISONS: readonly { figure: string; kind: 'rr' | 'crr' | 'udp'; a: Name; b: Name; target: string; met: (value: number) => boolean }[] = [
  { figure: 'rr_ratio_none', kind: 'rr', a: 'none', b: 'palisade-100k', target: '≤ 1.03', met: (value) => value <= 1.03 },
  { figure: 'crr_ratio_none', kind: 'crr', a: 'none', b: 'palisade-100k', target: '≤ 1.08', met: (value) => value <= 1.08 },
  { figure: 'udp_ratio_none', kind: 'udp', a: 'none', b: 'palisade-100k', target: '–', met: () => true },
  { figure: 'crr_ratio_10_entries', kind: 'crr', a: 'palisade-10', b: 'palisade-100k', target: '≤ 1.05', met: (value) => value <= 1.05 },
  { figure: 'crr_ratio_nft_map_10k', kind: 'crr', a: 'nft-map-10k', b: 'palisade-100k', target: '≤ 0.97', met: (value) => value <= 0.97 },
  { figure: 'crr_speedup_iptables_10k', kind: 'crr', a: 'palisade-100k', b: 'iptables-10k', target: '≥ 1.4', met: (value) => value >= 1.4 },
  { figure: 'crr_speedup_nft_10k', kind: 'crr', a: 'palisade-100k', b: 'nft-10k', target: '≥ 2.9', met: (value) => value >= 2.9 },
  { figure: 'udp_speedup_iptables_10k', kind: 'udp', a: 'palisade-100k', b: 'iptables-10k', target: '≥ 9', met: (value) => value >= 9 },
  { figure: 'udp_speedup_nft_10k', kind: 'udp', a: 'palisade-100k', b: 'nft-10k', target: '≥ 30', met: (value) => value >= 30 },
];

const say = (text: string): void => void process.stderr.write(`${text}\n`);

async function traffic(): Promise<{ comparisons: Comparison[]; missed: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'palisade-bench-'));
  const program = join(folder, 'traffic');
  execFileSync(process.env['CC'] ?? 'gcc', ['-O2', '-o', program, fileURLToPath(new URL('./traffic.c', import.meta.url))]);
  const networks = new Map<Name, Configuration>();
  const comparisons: Comparison[] = [];
  const missed: string[] = [];
  try {
    for (const [name, filter] of Object.entries(FILTERS) as [Name, Filter | undefined][]) {
      const configuration = new Configuration(program);
      networks.set(name, configuration);
      await configuration.start(filter);
      await configuration.measure('crr', 0.1);
    }
    for (const { figure, kind, a, b, target, met } of COMPARISONS) {
      const measure = (name: Name) => async (): Promise<number> => (await networks.get(name)?.measure(kind, SECONDS)) ?? NaN;
      const result = await interleave(figure, ROUNDS, measure(a), measure(b));
      comparisons.push(result);
      const verdict = result.decided ? (met(result.median) ? 'met' : 'missed') : 'undecided';
      if (verdict === 'missed') missed.push(figure);
      say(`${figure}: ${result.median.toFixed(3)} [${result.low.toFixed(3)}, ${result.high.toFixed(3)}] target ${target}: ${verdict}`);
      say(`  samples ${result.samples.map((sample) => sample.toFixed(3)).join(' ')}`);
    }
  } finally {
    for (const configuration of networks.values()) await configuration.stop();
    rmSync(folder, { recursive: true });
  }
  return { comparisons, missed };
}

async function main(): Promise<void> {
  const unavailable = kernelUnavailable();
  if (unavailable) {
    say(unavailable);
    if (json) process.stdout.write(`${JSON.stringify({ bench: 'datapath', figures: {}, ok: false, reason: unavailable })}\n`);
    process.exitCode = 1;
    return;
  }
  const programs = await measurePrograms(quick ? 200_000 : 1_000_000);
  say(JSON.stringify(programs));
  const tables = await measureTables();
  say(JSON.stringify(tables));
  const swaps = await measureSwaps(quick ? 10_000 : 100_000);
  say(JSON.stringify(swaps));
  const { comparisons, missed } = await traffic();
  const limits: readonly [string, number, number][] = [
    ['established_ns', programs.established_ns, 100], ['new_ns', programs.new_ns, 1300], ['deny_ns', programs.deny_ns, 650],
    ['load_100k_ms', tables.load_100k_ms, 250], ['read_100k_ms', tables.read_100k_ms, 80], ['generation_swap_1000_ms', tables.generation_swap_1000_ms, 50],
    ['drain_core_pct', tables.drain_core_pct, 5], ['swap_lost', swaps.swap_lost, 0], ['swap_leaked', swaps.swap_leaked, 0],
    ['generation_swap_wrong', swaps.generation_swap_wrong, 0],
  ];
  for (const [figure, value, limit] of limits) if (value > limit) missed.push(figure);
  const round = (value: number): number => Math.round(value * 1000) / 1000;
  const figures = Object.fromEntries([
    ...Object.entries({ ...programs, ...tables, ...swaps }).map(([name, value]) => [name, round(value)] as const),
    ...comparisons.map(({ name, median }) => [name, round(median)] as const),
  ]);
  const undecided = comparisons.filter(({ decided }) => !decided).map(({ name }) => name);
  say(`missed: ${missed.join(', ') || 'none'}; undecided: ${undecided.join(', ') || 'none'}`);
  if (json) process.stdout.write(`${JSON.stringify({ bench: 'datapath', figures, missed, undecided, ok: missed.length === 0 })}\n`);
}

await main();
