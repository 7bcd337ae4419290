import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startControlPlane } from '../../tools/stack/control-plane.ts';
import { StateFolder } from '../../tools/stack/state-folder.ts';
import { measureFleet, type FleetFigures } from './measure.ts';

/**
 * `npm run bench:fleet -- [--agents N] [--quick] [--json]`: simulated agents of the real protocol on one gateway
 * process. Without --quick it runs a tenth of the size first, to show growth. The last line is JSON with or without --json.
 */
const { values } = parseArgs({ options: { agents: { type: 'string' }, quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } } });
const most = Number(values.agents ?? (values.quick ? 300 : 10_000));
const sizes = values.quick ? [most] : [Math.max(10, Math.round(most / 10)), most];
const tell = (sentence: string): void => void process.stderr.write(`${sentence}\n`);

const runs: FleetFigures[] = [];
for (const size of sizes) {
  tell(`--- ${size} agents; ${machineState()}`);
  try {
    runs.push(await run(size));
  } catch (error) {
    // A run that breaks is no reason to lose the others.
    tell(`the run with ${size} agents ended early: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  }
}
tell(`--- done; ${machineState()}`);
for (const figures of runs) tell(JSON.stringify(figures));
const last = runs.at(-1);
const ok = last !== undefined && last.agents === most && meetsGoals(last);
process.stdout.write(`${JSON.stringify({ bench: 'fleet', figures: last === undefined ? {} : rounded(last), growth: runs.map(rounded), ok })}\n`);
process.exit(ok ? 0 : 1);

async function run(size: number): Promise<FleetFigures> {
  const dir = mkdtempSync(join(tmpdir(), 'palisade-bench-fleet-'));
  const state = new StateFolder(dir);
  const plane = await startControlPlane({ state, gatewayAddress: '127.0.0.1', anyPorts: true, progress: () => undefined, onUnexpectedEnd: (process_, how) => tell(`${process_.name} ended: ${how}`) });
  try {
    return await measureFleet(plane, state.keys, size, tell);
  } finally {
    await plane.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

/** How busy the machine is: times of a run mean little without it. */
function machineState(): string {
  const [lastMinute = 0, , lastQuarter = 0] = loadavg();
  return `load average ${lastMinute.toFixed(1)} over the last minute, ${lastQuarter.toFixed(1)} over the last quarter of an hour, on ${availableParallelism()} cores`;
}

function meetsGoals(figures: FleetFigures): boolean {
  return (
    figures.offer_p99_s <= 5 && figures.kb_per_agent <= 30 && figures.gateway_rss_mb <= 1536 && figures.recover_s <= 180 && figures.checkin_p99_ms < 500 && figures.worst_second_failed_pct <= 1 &&
    figures.halted_at_wave === figures.right_wave
  );
}

/** JSON has no infinity: what was not reached is null. */
function rounded(figures: FleetFigures): Record<string, number | null> {
  return Object.fromEntries(Object.entries(figures).map(([name, value]: [string, number]) => [name, Number.isFinite(value) ? Math.round(value * 100) / 100 : null]));
}
