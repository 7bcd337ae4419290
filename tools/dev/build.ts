import type { SpawnOptions } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { checkout, must } from './command.ts';
import { kernelSupport } from './kernel-support.ts';
import { KERNEL_NEEDS, ensureSystemPackages } from './system-packages.ts';

/** What a build brought. */
export interface Built {
  /** Whether programs and addon were built and this machine can load them; if not, why not. */
  readonly kernel: { readonly usable: true } | { readonly usable: false; readonly reason: string };
}

/**
 * Builds what changed: TypeScript, the eBPF programs, the addon. Each step
 * keeps its own stamps, so a build with nothing to do takes a second.
 *
 * @throws when a step fails; what it printed tells why.
 */
export async function build(): Promise<Built> {
  await must('The TypeScript build', process.execPath, [join(checkout, 'node_modules/typescript7/bin/tsc'), '-b', '.']);
  const packages = await ensureSystemPackages(KERNEL_NEEDS, 'the kernel parts');
  if (!packages) return { kernel: { usable: false, reason: 'the packages named above are missing' } };
  const quiet: SpawnOptions = { stdio: ['ignore', 2, 2] };
  await must('The build of the eBPF programs', 'make', ['--silent', '-C', 'bpf'], quiet);
  if (isOlder('libs/kernel/build/palisade_kernel.node', 'libs/kernel/native')) {
    await must('The build of the kernel addon', 'sh', ['libs/kernel/native/build.sh'], quiet);
  }
  if (isOlder('apps/http-gate/build/palisade_gate.node', 'apps/http-gate/native')) {
    await must('The build of the HTTP gate’s native part', 'sh', ['apps/http-gate/native/build.sh'], quiet);
  }
  return { kernel: kernelSupport() };
}

/** Whether a built file is missing or older than any file of a folder of sources. */
function isOlder(built: string, sources: string): boolean {
  const file = join(checkout, built);
  if (!existsSync(file)) return true;
  const { mtimeMs } = statSync(file);
  return readdirSync(join(checkout, sources)).some((name) => statSync(join(checkout, sources, name)).mtimeMs > mtimeMs);
}
