import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { checkout } from '../dev/command.ts';

/**
 * Runs one of the built programs to its end and gives what it printed.
 *
 * @throws with its output when it fails.
 */
export async function runOnce(
  what: string,
  program: string,
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<string> {
  const child = spawn(process.execPath, [join(checkout, program), ...words], {
    cwd: checkout,
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  });
  if (code !== 0) throw new Error(`${program} failed at ${what} (exit code ${code}):\n${output.trimEnd()}`);
  return output;
}
