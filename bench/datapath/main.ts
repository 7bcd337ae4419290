/**
 * `npm run bench:datapath [-- --quick] [--json] [--only programs|tables|swaps|footprint|traffic]…`: what Palisade's programs cost, against no filtering, iptables and nftables,
 * on routed veth pairs. Needs root. Targets: see the table in docs/benchmarks.md.
 */

import { parseArgs } from 'node:util';
import { kernelUnavailable } from '../../apps/agent/src/enforcer/testing/kernel-available.ts';
import { COMPARISON_NEEDS, ensureSystemPackages } from '../../tools/dev/system-packages.ts';
import { FIGURES } from './comparisons.ts';
import { measureFootprint } from './footprint.ts';
import { measurePrograms } from './program-cost.ts';
import { measureSwaps } from './swap.ts';
import { measureTables } from './table-cost.ts';
import { measureTraffic } from './traffic.ts';

const PARTS = ['programs', 'tables', 'swaps', 'footprint', 'traffic'] as const;
const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean' }, only: { type: 'string', multiple: true, default: [...PARTS] } } });
const { quick, only } = values;

/** Figures that are no ratios, with their limits. */
const LIMITS: Readonly<Record<string, number>> = {
  established_ns: 100, new_ns: 1300, deny_ns: 650, program_run_rr_ns: 800,
  load_100k_ms: 250, read_100k_ms: 80, generation_swap_1000_ms: 50, drain_core_pct: 5,
  swap_lost: 0, swap_leaked: 0, generation_swap_wrong: 0,
  agent_rss_mb: 90, agent_idle_cpu_pct: 0.5,
};

const say = (text: string): void => void process.stderr.write(`${text}\n`);
const round = (value: number): number => Math.round(value * 1000) / 1000;

function finish(figures: Readonly<Record<string, number>>, more: Readonly<Record<string, unknown>>, ok: boolean): void {
  process.stdout.write(`${JSON.stringify({ bench: 'datapath', figures, ...more, ok })}\n`);
  process.exitCode = ok ? 0 : 1;
}

async function step<Result extends object>(name: (typeof PARTS)[number], work: () => Promise<Result>): Promise<Partial<Result>> {
  if (!only.includes(name)) return {};
  const start = Date.now();
  const result = await work();
  say(`${name} (${Math.round((Date.now() - start) / 1000)} s)${name === 'traffic' ? '' : `: ${JSON.stringify(result)}`}`);
  return result;
}

async function main(): Promise<void> {
  const unknown = only.filter((name) => !(PARTS as readonly string[]).includes(name));
  if (unknown.length > 0) throw new Error(`--only takes ${PARTS.join(', ')}, not ${unknown.join(', ')}`);
  const unavailable = kernelUnavailable();
  if (unavailable) {
    say(unavailable);
    finish({}, { reason: unavailable }, false);
    return;
  }
  await ensureSystemPackages(COMPARISON_NEEDS, 'the comparisons with nftables and iptables');
  const singles = {
    ...(await step('programs', () => measurePrograms(quick ? 40 : 150))),
    ...(await step('tables', measureTables)),
    ...(await step('swaps', () => measureSwaps(quick ? 10_000 : 100_000))),
    ...(await step('footprint', () => measureFootprint(quick ? 3 : 15))),
  };
  const { comparisons = [], rates = {}, singles: underTraffic, missing = [] } = await step('traffic', () => measureTraffic(quick, say));
  const figures = Object.fromEntries(
    [...Object.entries({ ...singles, ...underTraffic }), ...comparisons.map(({ name, median }) => [name, median] as const)].map(([name, value]) => [name, round(value)]),
  );
  const missed = [
    ...Object.entries(LIMITS).filter(([name, limit]) => (figures[name] ?? 0) > limit).map(([name]) => name),
    ...comparisons.filter(({ verdict }) => verdict === 'missed').map(({ name }) => name),
  ];
  const undecided = comparisons.filter(({ verdict }) => verdict === 'undecided').map(({ name }) => name);
  const absent = [...Object.keys(LIMITS), ...FIGURES.map(({ figure }) => figure)].filter((name) => !(name in figures));
  say(`rates: ${JSON.stringify(rates)}`);
  say(`missed: ${missed.join(', ') || 'none'}; undecided: ${undecided.join(', ') || 'none'}; not measured: ${absent.join(', ') || 'none'}`);
  finish(figures, { rates, missed, undecided, absent, missing }, missed.length === 0 && undecided.length === 0 && absent.length === 0);
}

await main();
