import { existsSync, rmSync } from 'node:fs';
import { removeNetwork } from './network/network.ts';
import { stackId } from './network/plan.ts';

/** Where the agents of a stack pin their programs and maps. */
export function pinRoot(id: string): string {
  return `/sys/fs/bpf/palisade-${id}`;
}

/** Removes what a stack's demo left in the kernel: namespaces with their links, then what was pinned. */
export async function removeDemoTraces(stateDir: string): Promise<void> {
  const id = stackId(stateDir);
  await removeNetwork(id);
  if (existsSync(pinRoot(id))) rmSync(pinRoot(id), { recursive: true, force: true });
}
