import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { build } from './build.ts';
import { checkout, run, runFile } from './command.ts';
import { say } from './say.ts';

interface Check {
  readonly name: string;
  run(): Promise<number>;
}

const bin = (name: string): string => join(checkout, 'node_modules/.bin', name);

const checks: readonly Check[] = [
  {
    name: 'types of tests and tools',
    run: () => run(process.execPath, [join(checkout, 'node_modules/typescript7/bin/tsc'), '-p', 'tsconfig.tests.json', '--noEmit']),
  },
  { name: 'lint', run: () => run(bin('oxlint'), ['--type-aware']) },
  { name: 'walls', run: () => runFile('tools/walls/main.ts', []) },
  { name: 'dead code and undeclared dependencies', run: () => run(bin('knip'), ['--no-progress']) },
  { name: 'wire contract: style', run: () => run(bin('buf'), ['lint']) },
  { name: 'wire contract: compatibility', run: bufBreaking },
  { name: 'OpenAPI document', run: openApiDrift },
];

/**
 * Runs every check, also after one has failed, and names those that did.
 *
 * @param words names of single checks to run, by their beginning; all when empty.
 * @returns 0 only when all passed.
 */
export async function check(words: readonly string[]): Promise<number> {
  await build();
  const failed: string[] = [];
  for (const { name, run: runCheck } of checks) {
    if (words.length > 0 && !words.some((word) => name.startsWith(word))) continue;
    say(`check: ${name}`);
    if ((await runCheck()) !== 0) failed.push(name);
  }
  if (failed.length === 0) say('all checks passed');
  else say(`failed: ${failed.join(' · ')}`);
  return failed.length === 0 ? 0 : 1;
}

/** The contract must stay readable for agents built from the main branch. */
async function bufBreaking(): Promise<number> {
  const git = (...words: string[]): string => execFileSync('git', words, { cwd: checkout, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  let base: string;
  try {
    base = git('rev-parse', '--verify', '--quiet', 'origin/main^{commit}');
  } catch {
    return 0; // No main branch to compare with: a fresh repository or an exported tree.
  }
  if (git('ls-tree', '-r', '--name-only', base, 'libs/protocol/proto') === '') return 0;
  return run(bin('buf'), ['breaking', '--against', `.git#ref=${base}`]);
}

/** The committed document is what the code says now. */
async function openApiDrift(): Promise<number> {
  const writer = 'apps/api/dist/openapi.js';
  if (!existsSync(join(checkout, writer))) {
    say(`${writer} is missing.`);
    return 1;
  }
  return runFile(writer, ['--check']);
}
