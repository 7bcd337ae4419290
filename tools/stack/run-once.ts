import { runToEnd } from '../dev/run-to-end.ts';

/**
 * Runs one of the built programs with only the environment it needs.
 *
 * @throws with its output when it fails.
 */
export function runOnce(what: string, program: string, words: readonly string[], environment: Readonly<Record<string, string>>): Promise<string> {
  return runToEnd(what, [program, ...words], { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '/', ...environment });
}
