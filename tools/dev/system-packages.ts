import type { SpawnOptions } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { must } from './command.ts';
import { say } from './say.ts';

/** What has to be there, and the Debian package that has it. */
interface Need {
  readonly program?: string;
  readonly file?: string;
  readonly package: string;
}

/** For building eBPF programs and for the networks of demo and tests. */
export const KERNEL_NEEDS: readonly Need[] = [
  { program: 'clang', package: 'clang' },
  { program: 'llvm-strip', package: 'llvm' },
  { file: '/usr/include/bpf/bpf_helpers.h', package: 'libbpf-dev' },
  { program: 'gcc', package: 'gcc' },
  { file: '/usr/include/stdlib.h', package: 'libc6-dev' },
  { program: 'make', package: 'make' },
  { program: 'nft', package: 'nftables' },
  { program: 'ip', package: 'iproute2' },
  { program: 'nsenter', package: 'util-linux' },
  { program: 'sysctl', package: 'procps' },
];

/** For the tests in namespaces: what people try first, and what systemd means by a group of system calls. */
export const KERNEL_TEST_NEEDS: readonly Need[] = [
  { program: 'curl', package: 'curl' },
  { program: 'ping', package: 'iputils-ping' },
  { program: 'dig', package: 'bind9-dnsutils' },
  { program: 'dnsmasq', package: 'dnsmasq-base' },
  { program: 'iperf3', package: 'iperf3' },
  { program: 'ethtool', package: 'ethtool' },
  { program: 'systemd-analyze', package: 'systemd' },
  { program: 'setpriv', package: 'util-linux' },
  { program: 'taskset', package: 'util-linux' },
];

/** For the tests of the job queue on its production backend. */
export const REDIS_NEEDS: readonly Need[] = [{ program: 'redis-server', package: 'redis-server' }];

/** For the benchmark of the datapath: what it is compared with. */
export const COMPARISON_NEEDS: readonly Need[] = [
  { program: 'nft', package: 'nftables' },
  { program: 'iptables-legacy-restore', package: 'iptables' },
];

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, program)));
}

function missingPackages(needs: readonly Need[]): readonly string[] {
  return needs
    .filter(({ program, file }) => (program !== undefined ? !onPath(program) : !existsSync(file ?? '')))
    .map((need) => need.package);
}

/**
 * Installs what a part needs, where we may; otherwise says which one command
 * does it.
 *
 * @param part completes "for …".
 * @returns whether everything is there now.
 */
export async function ensureSystemPackages(needs: readonly Need[], part: string): Promise<boolean> {
  const missing = missingPackages(needs);
  if (missing.length === 0) return true;
  const install = ['install', '-y', '--no-install-recommends', ...missing];
  if (!onPath('apt-get')) {
    say(`for ${part}, install what these Debian packages hold: ${missing.join(' ')}`);
    return false;
  }
  if (process.getuid?.() !== 0) {
    say(`for ${part}, run once: sudo apt-get update && sudo apt-get ${install.join(' ')}`);
    return false;
  }
  say(`installing ${missing.join(' ')} (apt-get)`);
  const quiet: SpawnOptions = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, stdio: ['ignore', 2, 2] };
  try {
    await must('apt-get update', 'apt-get', ['-q', 'update'], quiet);
    await must('apt-get install', 'apt-get', ['-q', ...install], quiet);
  } catch (error) {
    say(`${(error as Error).message} Without them ${part} are left out.`);
  }
  return missingPackages(needs).length === 0;
}
