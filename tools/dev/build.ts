import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { checkout, must } from './command.ts';
import { kernelSupport } from './kernel-support.ts';
import { say } from './say.ts';
import { ensureSystemPackages } from './system-packages.ts';

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
  const packages = await ensureSystemPackages();
  if (!packages) return { kernel: { usable: false, reason: 'the packages named above are missing' } };
  for (const [what, folder] of [
    ['The build of the eBPF programs', 'bpf'],
    ['The build of the kernel addon', 'libs/kernel/native'],
  ] as const) {
    if (existsSync(join(checkout, folder, 'Makefile'))) {
      await must(what, 'make', ['--silent', '-C', folder, `NODE=${process.execPath}`], { stdio: ['ignore', 2, 2] });
    } else say(`${folder} has no Makefile yet: skipped`);
  }
  return { kernel: kernelSupport() };
}
