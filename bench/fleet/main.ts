import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startControlPlane } from '../../tools/stack/control-plane.ts';
import { StateFolder } from '../../tools/stack/state-folder.ts';
import { measureFleet, type FleetFigures } from './measure.ts';

/**
 * `npm run bench:fleet -- [--agents N] [--quick] [--json]`: simulated agents of the real protocol on one gateway
 * process. Without --quick it runs a tenth of the size first, to show growth.
 */
const { values } = parseArgs({ options: { agents: { type: 'string' }, quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } } });
const most = Number(values.agents ?? (values.quick ? 300 : 10_000));
const sizes = values.quick ? [most] : [Math.max(10, Math.round(most / 10)), most];
const tell = (sentence: string): void => void process.stderr.write(`${sentence}\n`);

const runs: FleetFigures[] = [];
for (const size of sizes) {
  tell(`--- ${size} agents`);
  const dir = mkdtempSync(join(tmpdir(), 'palisade-bench-fleet-'));
  const state = new StateFolder(dir);
  const plane = await startControlPlane({ state, gatewayAddress: '127.0.0.1', progress: () => undefined, onUnexpectedEnd: (process_, how) => tell(`${process_.name} ended: ${how}`) });
  try {
    runs.push(await measureFleet(plane, state.keys, size, tell));
  } finally {
    await plane.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

const last = runs.at(-1)!;
const ok =
  last.offer_p99_s <= 5 && last.kb_per_agent <= 30 && last.gateway_rss_mb <= 1536 && last.recover_s <= 180 && last.checkin_p99_ms < 500 && last.worst_second_failed_pct <= 1 && last.halted_at_wave === (last.agents >= 200 ? 1 : last.halted_at_wave);
for (const run of runs) tell(JSON.stringify(run));
if (values.json) process.stdout.write(`${JSON.stringify({ bench: 'fleet', figures: rounded(last), growth: runs.map(rounded), ok })}\n`);
process.exit(ok ? 0 : 1);

function rounded(figures: FleetFigures): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Math.round(value * 100) / 100]));
}
