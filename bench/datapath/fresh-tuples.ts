/** Compiles fresh-tuples.bpf.c as bpf/Makefile compiles the programs. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PacketLab } from '../../apps/agent/src/enforcer/testing/packet-lab.ts';

export const FRESH_PROGRAM = 'from_endpoint_fresh';

/** Loads the program over the lab's maps; `lab.cost(FRESH_PROGRAM, …)` runs it. */
export function loadFreshTuples(lab: PacketLab): void {
  const folder = mkdtempSync(join(tmpdir(), 'palisade-bench-'));
  try {
    const object = join(folder, 'fresh.o');
    const machine = process.arch === 'arm64' ? ['arm64', 'aarch64'] : ['x86', 'x86_64'];
    execFileSync(process.env['CLANG'] ?? 'clang', [
      '-O2', '-g', '-target', 'bpf', '-mcpu=v3', '-Wno-unused-function', `-D__TARGET_ARCH_${machine[0]}`, '-idirafter', `/usr/include/${machine[1]}-linux-gnu`,
      '-c', fileURLToPath(new URL('./fresh-tuples.bpf.c', import.meta.url)), '-o', object,
    ]);
    lab.loadBeside(readFileSync(object), FRESH_PROGRAM);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
