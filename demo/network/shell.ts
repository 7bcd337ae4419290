import { execFile } from 'node:child_process';

/**
 * Runs a program, without a shell, and returns what it printed.
 *
 * @throws with its words and its complaint when it fails.
 */
export function exec(program: string, words: readonly string[], input = ''): Promise<string> {
  return new Promise((done, fail) => {
    const child = execFile(program, words, { maxBuffer: 16 << 20 }, (error, stdout, stderr) => {
      if (error === null) done(stdout);
      else fail(new Error(`${[program, ...words].join(' ')} failed: ${stderr.trim() || error.message}`));
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}

/** Runs lines of `ip` in a namespace, or on this machine. */
export async function ip(namespace: string | undefined, lines: readonly string[]): Promise<void> {
  await exec('ip', [...(namespace === undefined ? [] : ['-n', namespace]), '-batch', '-'], `${lines.join('\n')}\n`);
}

/** The command that runs another one in a network namespace; unlike `ip netns exec` it leaves mounts alone, so bpffs stays in sight. */
export function inNamespace(namespace: string, command: readonly string[]): readonly string[] {
  return ['nsenter', `--net=/run/netns/${namespace}`, ...command];
}
