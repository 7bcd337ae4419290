import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from './build.ts';
import { checkout, run, runFile } from './command.ts';
import { skippedKernelSentence } from './kernel-support.ts';
import { say } from './say.ts';
import { KERNEL_TEST_NEEDS, REDIS_NEEDS, ensureSystemPackages } from './system-packages.ts';

/** The cases that other projects' expectations were taken from. They are no part of this checkout. */
const sharedCases = process.env['PALISADE_CONFORMANCE_DIR'] ?? resolve(checkout, '../shared/conformance/open');

interface Totals {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
}

/**
 * Builds and runs the tests of all rooms, then the shared policy cases where
 * they are present. Ends with `N passed, N failed, N skipped` on a line.
 *
 * @param words handed to vitest: a filter by file name, or its options.
 * @returns 0 only when everything passed.
 */
export async function test(words: readonly string[]): Promise<number> {
  const { kernel } = await build();
  const kernelTests = kernel.usable && (await ensureSystemPackages(KERNEL_TEST_NEEDS, 'the kernel tests'));
  const redis = await ensureSystemPackages(REDIS_NEEDS, 'the tests on Redis');
  const report = join(checkout, '.state/test-report.json');
  mkdirSync(join(checkout, '.state'), { recursive: true });
  rmSync(report, { force: true });
  const code = await run(
    process.execPath,
    [
      join(checkout, 'node_modules/vitest/vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...words,
    ],
    { env: { ...process.env, PALISADE_TEST_KERNEL: kernelTests ? '1' : '0', PALISADE_TEST_REDIS: redis ? '1' : '0' } },
  );
  const casesPass = words.length > 0 || (await sharedCasesPass());
  if (!kernel.usable) say(skippedKernelSentence(kernel.reason));
  else if (!kernelTests) say('The kernel tests are skipped: programs they use are missing (named above).');
  if (!redis) say('The tests on Redis are skipped: there is no redis-server. The same tests ran on PostgreSQL.');
  if (!existsSync(report)) {
    say('vitest ended without a report.');
    return code === 0 ? 1 : code;
  }
  const totals = JSON.parse(readFileSync(report, 'utf8')) as Totals;
  const skipped = totals.numPendingTests + totals.numTodoTests;
  process.stdout.write(`${totals.numPassedTests} passed, ${totals.numFailedTests} failed, ${skipped} skipped\n`);
  if (code !== 0) return code;
  return casesPass && totals.numFailedTests === 0 ? 0 : 1;
}

async function sharedCasesPass(): Promise<boolean> {
  if (!existsSync(sharedCases)) return true;
  say(`running the shared policy cases in ${sharedCases}`);
  return (await runFile('tools/conformance/main.ts', [sharedCases])) === 0;
}
