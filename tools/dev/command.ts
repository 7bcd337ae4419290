import { spawn, type SpawnOptions } from 'node:child_process';
import { resolve } from 'node:path';

const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The root of the checkout. */
export const checkout = resolve(import.meta.dirname, '../..');

/**
 * Runs a program in the checkout with our terminal and waits for it.
 *
 * @returns its exit code; 128 + n when a signal ended it.
 */
export function run(program: string, words: readonly string[], options: SpawnOptions = {}): Promise<number> {
  return new Promise((done, fail) => {
    const child = spawn(program, words, { cwd: checkout, stdio: 'inherit', ...options });
    // Whoever ends us means the command; it decides how to end.
    const passOn = (signal: NodeJS.Signals): void => void child.kill(signal);
    for (const signal of ENDING) process.on(signal, passOn);
    child.once('error', fail);
    child.once('close', (code, signal) => {
      for (const each of ENDING) process.off(each, passOn);
      done(code ?? (signal === 'SIGINT' ? 130 : 143));
    });
  });
}

/** Runs one of the checkout's TypeScript files with the Node we run on. */
export function runFile(file: string, words: readonly string[], options: SpawnOptions = {}): Promise<number> {
  return run(process.execPath, [resolve(checkout, file), ...words], options);
}

/** Like `run`, for a step that has to succeed. */
export async function must(what: string, program: string, words: readonly string[], options: SpawnOptions = {}): Promise<void> {
  const code = await run(program, words, options);
  if (code !== 0) throw new Error(`${what} failed (exit code ${code}).`);
}
