/**
 * `npm run bench:flows -- [--quick] [--ingest] [--rows N] [--sustain MINUTES] [--rate FLOWS_PER_SECOND] [--json]`: what the
 * flow path costs and how fast questions are answered. By itself everything: ingest against the ceiling, questions over ten
 * million rows, ten minutes at a steady rate (about 25 minutes on an idle machine); `--quick` in a few minutes. --ingest,
 * --rows and --sustain run that part alone.
 */
import { parseArgs } from 'node:util';
import { PostgresFlowEdges, PostgresFlowReader } from '@palisade/flow-store';
import pg from 'pg';
import { startBenchServer } from './database.ts';
import { measureIngest, median } from './ingest-rates.ts';
import { fillDay, measureQueries } from './query-latencies.ts';
import { measureSustained } from './sustained.ts';

const { values } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false }, ingest: { type: 'boolean', default: false }, rows: { type: 'string' }, sustain: { type: 'string' }, rate: { type: 'string' } },
});
const { quick } = values;
const everything = !values.ingest && values.rows === undefined && values.sustain === undefined;
const rows = Number(values.rows ?? (everything ? (quick ? 1_000_000 : 10_000_000) : 0));
const minutes = Number(values.sustain ?? (everything ? (quick ? 1 : 10) : 0));
/** The rate that the documentation calls good for PostgreSQL, twice over. */
const rate = Number(values.rate ?? 4_000);

const TARGETS = {
  copy_ratio: { goal: 0.75, better: 'higher' },
  flows_per_core_s: { goal: 100_000, better: 'higher' },
  wire_bytes_per_flow: { goal: 35, better: 'lower' },
  drops_1h_p95_ms: { goal: 50, better: 'lower' },
  map_24h_p95_ms: { goal: 300, better: 'lower' },
  list_p95_ms: { goal: 200, better: 'lower' },
  rss_growth_mb: { goal: 50, better: 'lower' },
} as const;
type Figures = Record<string, number>;

/** Full batches, as agents send them in a burst: 5,000 rows, four under way for each agent. */
const BURST = { agents: 20, batchesPerAgent: 2, rowsPerBatch: 5_000 };

async function ingest(): Promise<Figures> {
  const gateway = await server.database('bench_gateway');
  const ceiling = await server.database('bench_ceiling');
  // Compiled code and names are what a gateway that runs has.
  await measureIngest(server, gateway, ceiling, { ...BURST, rounds: 2 });
  const rates = await measureIngest(server, gateway, ceiling, { ...BURST, rounds: quick ? 5 : 15 });
  return {
    copy_ratio: median(rates.ratios), flows_per_core_s: rates.flowsPerCpuSecond, wire_bytes_per_flow: rates.wireBytesPerFlow,
    gateway_rows_per_s: median(rates.gatewayRates), ceiling_rows_per_s: median(rates.ceilingRates),
    gateway_cpu_us_per_row: rates.gatewayCpuUs, postgres_cpu_us_per_row: rates.postgresCpuUs, ceiling_cpu_us_per_row: rates.ceilingCpuUs,
  };
}

async function questions(): Promise<Figures> {
  const store = await server.database('bench_questions');
  await measureIngest(server, store, await server.database('bench_seed'), { ...BURST, rounds: 1 });
  const filled = Number(await fillDay(store, rows));
  const pool = new pg.Pool({ connectionString: store.apiUrl, max: 2 });
  pool.on('error', () => undefined);
  const latencies = await measureQueries({ reader: new PostgresFlowReader(pool), edges: new PostgresFlowEdges(pool) }, filled, quick ? 8 : 40);
  await pool.end();
  for (const { filter, medianMs, worstMs, flows } of latencies.lists) console.error(`list ${filter}: median ${medianMs.toFixed(0)} ms, slowest ${worstMs.toFixed(0)} ms, ${flows} flows on the first page`);
  return { rows: filled, drops_1h_p95_ms: latencies.drops_1h_p95_ms, map_24h_p95_ms: latencies.map_24h_p95_ms, list_p95_ms: latencies.list_p95_ms };
}

const server = await startBenchServer();
// A run that is told to end leaves no server and no folder behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void server.stop().finally(() => process.exit(1)));
try {
  const figures: Figures = {
    ...(everything || values.ingest ? await ingest() : {}),
    ...(rows > 0 ? await questions() : {}),
    ...(minutes > 0 ? { ...(await measureSustained(await server.database('bench_sustained'), minutes, rate)) } : {}),
  };
  const names = (Object.keys(TARGETS) as (keyof typeof TARGETS)[]).filter((name) => figures[name] !== undefined);
  const met = (name: keyof typeof TARGETS): boolean => (TARGETS[name].better === 'higher' ? (figures[name] ?? 0) >= TARGETS[name].goal : (figures[name] ?? Infinity) <= TARGETS[name].goal);
  if (!values.json) for (const name of names) console.log(`${name.padEnd(22)} ${(figures[name] ?? 0).toFixed(2).padStart(12)}  goal ${TARGETS[name].better === 'higher' ? '≥' : '≤'} ${TARGETS[name].goal}${met(name) ? '' : '  missed'}`);
  console.log(JSON.stringify({ bench: 'flows', figures: Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Number(value.toFixed(3))])), ok: names.every(met) }));
} finally {
  await server.stop();
}
