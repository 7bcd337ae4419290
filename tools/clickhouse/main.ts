/**
 * `npm run test:clickhouse`: the tests of the ClickHouse flow store. They run on a current engine (the npm package chdb, in
 * a process of its own) and on a real cluster of two replicas (Debian's clickhouse-server with ZooKeeper). Both are brought
 * by this command alone. What cannot be had is skipped, by name and count.
 */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { checkout, run } from '../dev/command.ts';
import { say } from '../dev/say.ts';
import { bringEngine } from './bring-engine.ts';
import { bringDebianPackages } from './debian-packages.ts';

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[] }[];
}

const folder = import.meta.dirname;

async function main(): Promise<number> {
  await bringEngine();
  const debian = join(checkout, '.state/clickhouse-debian');
  mkdirSync(join(checkout, '.state'), { recursive: true });
  const absent = await bringDebianPackages(debian);
  const report = join(checkout, '.state/clickhouse-report.json');
  rmSync(report, { force: true });
  const code = await run(
    process.execPath,
    [join(checkout, 'node_modules/vitest/vitest.mjs'), 'run', '-c', join(folder, 'vitest.config.ts'), '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...process.argv.slice(2)],
    { env: { ...process.env, PALISADE_TEST_CLICKHOUSE_DEBIAN: absent === undefined ? debian : '' } },
  );
  if (!existsSync(report)) {
    say('vitest ended without a report.');
    return code === 0 ? 1 : code;
  }
  const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report;
  if (absent !== undefined) {
    say(absent);
    const skipped = testResults.flatMap(({ assertionResults }) => assertionResults.filter(({ status }) => status === 'skipped' || status === 'pending'));
    for (const { fullName } of skipped) say(`skipped: ${fullName}`);
  }
  // A file whose set-up failed has no failed test: its tests count as skipped.
  const neverRan = testResults.filter(({ status, assertionResults }) => status === 'failed' && !assertionResults.some((one) => one.status === 'failed')).length;
  const failed = numFailedTests + neverRan;
  process.stdout.write(`${numPassedTests} passed, ${failed} failed, ${numPendingTests} skipped\n`);
  return code !== 0 ? code : failed === 0 ? 0 : 1;
}

process.exitCode = await main();
