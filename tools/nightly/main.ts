/**
 * `npm run test:nightly [-- RUNS [SEED]]`: the generated tests of the policy room at length. 300 runs per property hold
 * more than a million packets against the evaluator. Without SEED every night draws other cases; the seed is printed, and
 * given back it repeats the run.
 */

import { checkout, run } from '../dev/command.ts';
import { join } from 'node:path';

const [runs = '300', seed = String(Math.floor(Date.now() / 86_400_000))] = process.argv.slice(2);
process.stdout.write(`nightly: ${runs} runs per property, seed ${seed}\n`);
process.exitCode = await run(process.execPath, [join(checkout, 'node_modules/vitest/vitest.mjs'), 'run', '--project', 'unit', 'libs/policy/src/resolve', 'libs/policy/src/diff', 'tools/conformance/generated'], {
  env: { ...process.env, PALISADE_RESOLVE_RUNS: runs, PALISADE_SEED: seed },
});
