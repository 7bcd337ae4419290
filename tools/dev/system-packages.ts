import type { SpawnOptions } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { must } from './command.ts';
import { say } from './say.ts';

/** What has to be there → the Debian package that has it. */
const needs: readonly { readonly program?: string; readonly file?: string; readonly package: string }[] = [
  { program: 'clang', package: 'clang' },
  { program: 'llvm-strip', package: 'llvm' },
  { file: '/usr/include/bpf/bpf_helpers.h', package: 'libbpf-dev' },
  { program: 'gcc', package: 'gcc' },
  { file: '/usr/include/stdlib.h', package: 'libc6-dev' },
  { program: 'make', package: 'make' },
  { program: 'nft', package: 'nftables' },
  { program: 'ip', package: 'iproute2' },
  { program: 'nsenter', package: 'util-linux' },
];

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));
}

/** The packages that are missing for building eBPF programs and for the demo's network. */
function missingPackages(): readonly string[] {
  return needs
    .filter(({ program, file }) => (program !== undefined ? !onPath(program) : !existsSync(file ?? '')))
    .map((need) => need.package);
}

/**
 * Installs what the kernel part needs, where we may; otherwise says which one
 * command does it.
 *
 * @returns whether everything is there now.
 */
export async function ensureSystemPackages(): Promise<boolean> {
  const missing = missingPackages();
  if (missing.length === 0) return true;
  const install = ['install', '-y', '--no-install-recommends', ...missing];
  if (!onPath('apt-get')) {
    say(`to build and run the kernel part, install what these Debian packages hold: ${missing.join(' ')}`);
    return false;
  }
  if (process.getuid?.() !== 0) {
    say(`for the kernel part, run once: sudo apt-get update && sudo apt-get ${install.join(' ')}`);
    return false;
  }
  say(`installing ${missing.join(' ')} (apt-get)`);
  const quiet: SpawnOptions = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, stdio: ['ignore', 2, 2] };
  try {
    await must('apt-get update', 'apt-get', ['-q', 'update'], quiet);
    await must('apt-get install', 'apt-get', ['-q', ...install], quiet);
  } catch (error) {
    say(`${(error as Error).message} Without them the kernel part is left out.`);
  }
  return missingPackages().length === 0;
}
