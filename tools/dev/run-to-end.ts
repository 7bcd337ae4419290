import { spawn } from 'node:child_process';
import { checkout } from './command.ts';

/**
 * Runs a Node.js program of this checkout to its end and gives what it printed.
 *
 * @param what for the error: what the program was to do.
 * @param words Node.js options, the program, its arguments.
 * @param environment all of its environment.
 * @throws with its output when it fails.
 */
export async function runToEnd(what: string, words: readonly string[], environment: NodeJS.ProcessEnv): Promise<string> {
  const child = spawn(process.execPath, words, { cwd: checkout, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  });
  if (code !== 0) throw new Error(`${what} failed (exit code ${code}):\n${output.trimEnd()}`);
  return output;
}
