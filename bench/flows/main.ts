/**
 * `npm run bench:flows -- [--json] [--quick]`: what the flow path costs and how fast questions are answered. `--quick` stays
 * under 90 seconds: fewer rounds, and a million rows instead of ten.
 */
import { startBenchServer } from './database.ts';
import { measureIngest, median } from './ingest-rates.ts';
import { fillDay, measureQueries } from './query-latencies.ts';

const quick = process.argv.includes('--quick');
const json = process.argv.includes('--json');

const TARGETS = {
  copy_ratio: { goal: 0.75, better: 'higher' },
  flows_per_core_s: { goal: 100_000, better: 'higher' },
  wire_bytes_per_flow: { goal: 35, better: 'lower' },
  drops_1h_p95_ms: { goal: 50, better: 'lower' },
  map_24h_p95_ms: { goal: 300, better: 'lower' },
  list_p95_ms: { goal: 200, better: 'lower' },
  rss_growth_mb: { goal: 50, better: 'lower' },
} as const;

function rssMb(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss / 2 ** 20;
}

const server = await startBenchServer();
try {
  const gateway = await server.database('bench_gateway');
  const ceiling = await server.database('bench_ceiling');
  const plan = { rounds: quick ? 5 : 15, agents: 20, batchesPerAgent: quick ? 1 : 4, rowsPerBatch: 1000 };
  await measureIngest(server, gateway, ceiling, { ...plan, rounds: 2 });
  const before = rssMb();
  const ingest = await measureIngest(server, gateway, ceiling, plan);
  const rssGrowth = Math.max(0, rssMb() - before);
  const rows = Number(await fillDay(gateway, quick ? 1_000_000 : 10_000_000));
  const queries = await measureQueries(gateway, rows, quick ? 8 : 40);
  const figures = {
    copy_ratio: median(ingest.ratios), flows_per_core_s: ingest.flowsPerCpuSecond, wire_bytes_per_flow: ingest.wireBytesPerFlow,
    drops_1h_p95_ms: queries.drops_1h_p95_ms, map_24h_p95_ms: queries.map_24h_p95_ms, list_p95_ms: queries.list_p95_ms, rss_growth_mb: rssGrowth,
    rows, gateway_rows_per_s: median(ingest.gatewayRates), ceiling_rows_per_s: median(ingest.ceilingRates),
  };
  const met = (name: keyof typeof TARGETS): boolean => (TARGETS[name].better === 'higher' ? figures[name] >= TARGETS[name].goal : figures[name] <= TARGETS[name].goal);
  const names = Object.keys(TARGETS) as (keyof typeof TARGETS)[];
  if (!json) for (const name of names) console.log(`${name.padEnd(22)} ${figures[name].toFixed(2).padStart(12)}  goal ${TARGETS[name].better === 'higher' ? '≥' : '≤'} ${TARGETS[name].goal}${met(name) ? '' : '  missed'}`);
  console.error(`rounds: gateway ${ingest.gatewayRates.map(Math.round).join(' ')} rows/s; ceiling ${ingest.ceilingRates.map(Math.round).join(' ')} rows/s; ratios ${ingest.ratios.map((ratio) => ratio.toFixed(2)).join(' ')}`);
  console.log(JSON.stringify({ bench: 'flows', figures: Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Number(value.toFixed(3))])), ok: names.every(met) }));
} finally {
  await server.stop();
}
