import { build } from './build.ts';
import { check } from './check.ts';
import { runFile } from './command.ts';
import { say } from './say.ts';
import { test } from './test.ts';

interface Command {
  readonly summary: string;
  run(words: readonly string[]): Promise<number>;
}

/** A command that builds, then runs a TypeScript file of the checkout. */
function script(file: string, summary: string): Command {
  return {
    summary,
    run: async (words) => {
      await build();
      return runFile(file, words);
    },
  };
}

const commands: Readonly<Record<string, Command>> = {
  start: script('tools/stack/start.ts', 'set up, start everything with the demo cluster, stay up until Ctrl-C'),
  stop: { summary: 'stop what `start` started', run: (words) => runFile('tools/stack/stop.ts', words) },
  demo: script('demo/main.ts', 'run the demo headless; --json ends with one line of evidence, --hold stays in the enforced state'),
  test: { summary: 'all tests of this checkout; further words go to vitest', run: test },
  check: { summary: 'types, lint, walls, dead code, committed documents', run: check },
  build: {
    summary: 'build what changed',
    run: async () => {
      await build();
      return 0;
    },
  },
  conformance: script('tools/conformance/main.ts', 'run the policy cases of a folder'),
  'copy-flows': script('apps/worker/dist/copy-flows.js', 'copy the flows of PostgreSQL to ClickHouse; settings and words are in docs/operations.md'),
  reset: { summary: 'stop everything and remove all state of this checkout', run: (words) => runFile('tools/stack/reset.ts', words) },
  run: {
    summary: 'build, then run one TypeScript file: ./dev run bench/policy/main.ts --quick',
    run: async ([file, ...words]) => {
      if (file === undefined) throw new Error('Name the file to run: ./dev run FILE [words]');
      await build();
      return runFile(file, words);
    },
  },
};

function usage(): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(12)} ${summary}`);
  return ['Usage: ./dev COMMAND [words]', '', ...lines, ''].join('\n');
}

async function main(): Promise<number> {
  const [name = 'help', ...words] = process.argv.slice(2);
  const command = commands[name];
  if (command === undefined) {
    process.stderr.write(usage());
    return name === 'help' || name === '--help' ? 0 : 2;
  }
  return command.run(words);
}

try {
  process.exitCode = await main();
} catch (error) {
  say((error as Error).message);
  process.exitCode = 1;
}
