/**
 * `npm run bench:policy -- [--json] [--quick]`: the policy engine at a tenth of its target size and at the whole of it
 * (10,000 identities, 1,000 policies, a node with 100 endpoints). `--quick` draws fewer samples, verifies some of them and
 * stays under 90 seconds; without it every sample is verified against a full resolve.
 */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Measurement } from './measure.ts';

const quick = process.argv.includes('--quick');
const json = process.argv.includes('--json');
const run = promisify(execFile);

async function measureShare(share: number, samples: number, verifyEvery: number): Promise<Measurement> {
  const script = fileURLToPath(new URL('./measure.ts', import.meta.url));
  const { stdout } = await run(process.execPath, ['--conditions=palisade-src', script, String(share), String(samples), String(verifyEvery)], { maxBuffer: 1 << 20 });
  return JSON.parse(stdout) as Measurement;
}

const TARGETS = {
  resolve_full_s: 2,
  resolve_rss_mb: 500,
  policy_update_ms_p50: 50,
  identity_update_ms_p50: 50,
  verdict_us: 20,
} as const satisfies Partial<Record<keyof Measurement, number>>;

const samples = quick ? 60 : 200;
const tenth = await measureShare(0.1, samples, quick ? 10 : 1);
const whole = await measureShare(1, samples, quick ? 20 : 1);

const missed = (Object.keys(TARGETS) as (keyof typeof TARGETS)[]).filter((name) => whole[name] >= TARGETS[name]);
const mismatches = tenth.digest_mismatches + whole.digest_mismatches;
const ok = missed.length === 0 && mismatches === 0;

for (const name of Object.keys(whole) as (keyof Measurement)[]) {
  const target = name in TARGETS ? `  (target < ${TARGETS[name as keyof typeof TARGETS]})` : '';
  process.stdout.write(`${name.padEnd(24)} ${String(tenth[name]).padStart(12)} ${String(whole[name]).padStart(12)}${target}\n`);
}
if (mismatches > 0) process.stdout.write(`${mismatches} states differ from a full resolve.\n`);
if (missed.length > 0) process.stdout.write(`Missed: ${missed.join(', ')}\n`);
const growth = Object.fromEntries((Object.keys(TARGETS) as (keyof typeof TARGETS)[]).map((name) => [`${name}_tenth`, tenth[name]]));
if (json) process.stdout.write(`${JSON.stringify({ bench: 'policy', figures: { ...whole, ...growth }, ok })}\n`);
process.exitCode = ok ? 0 : 1;
