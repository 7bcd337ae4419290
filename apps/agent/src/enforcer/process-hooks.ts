import type { CgroupKind, Descriptor, KernelPort } from '@palisade/dataplane';
import { DomainError } from '@palisade/errors';
import type { Pins } from './pins.ts';
import type { ProgramSet } from './program-set.ts';

const HOOKS = [
  { name: 'socket-state', program: 'on_socket_state', feature: 'tracepoint', kind: 'tracepoint' },
  { name: 'execution', program: 'on_execution', feature: 'execution-tracepoint', kind: 'tracepoint' },
  { name: 'fork', program: 'on_fork', feature: 'execution-tracepoint', kind: 'tracepoint' },
  { name: 'exit', program: 'on_exit', feature: 'execution-tracepoint', kind: 'tracepoint' },
  { name: 'connect4', program: 'note_connect4', feature: 'datagram-process', kind: 'cgroup-connect4' },
  { name: 'connect6', program: 'note_connect6', feature: 'datagram-process', kind: 'cgroup-connect6' },
  { name: 'sendmsg4', program: 'note_sendmsg4', feature: 'datagram-process', kind: 'cgroup-sendmsg4' },
  { name: 'sendmsg6', program: 'note_sendmsg6', feature: 'datagram-process', kind: 'cgroup-sendmsg6' },
] as const satisfies readonly { readonly name: string; readonly program: string; readonly feature: string; readonly kind: 'tracepoint' | CgroupKind }[];

type Hook = (typeof HOOKS)[number];
export type ProcessProgram = Hook['program'];

/** The hooks that note which process did what, as far as this kernel has them. */
export function processHooks(features: Readonly<Record<string, boolean>>): readonly Hook[] {
  return HOOKS.filter(({ feature }) => features[feature] === true);
}

/** Undefined where programs of another owner at the root of cgroup v2 allow none beside them. */
function attach(kernel: KernelPort, program: Descriptor, kind: Hook['kind'], cgroups: string): Descriptor | undefined {
  if (kind === 'tracepoint') return kernel.attachTracepoint(program);
  try {
    return kernel.attachCgroup(program, cgroups, kind);
  } catch (error) {
    if (error instanceof DomainError && error.code === 'kernel.attach-failed') return undefined;
    throw error;
  }
}

/**
 * Attaches the process hooks of `digest` before older ones leave. They watch the whole machine and stop nothing. Without them
 * flows name no process, or only its command, and nothing else changes.
 * @param cgroups mount point of cgroup v2; undefined: there is none, and no process of a datagram is known
 * @returns whether what processes execute is noted, and was not before
 */
export function ensureProcessHooks(kernel: KernelPort, pins: Pins, programs: ProgramSet, digest: string, cgroups: string | undefined): boolean {
  const present = kernel.listPins(pins.processHooks);
  const loaded = kernel.listPins(`${pins.programs}/${digest}`);
  const hooks = processHooks(kernel.features()).filter(({ program, kind }) => loaded.includes(program) && (kind === 'tracepoint' || cgroups !== undefined));
  const pin = (name: string): string => `${name}-${digest.slice(0, 16)}`;
  for (const hook of hooks.filter(({ name }) => !present.includes(pin(name)))) {
    const descriptor = programs.open(digest, hook.program);
    try {
      const link = attach(kernel, descriptor, hook.kind, cgroups ?? '');
      if (link === undefined) continue;
      kernel.pin(link, `${pins.processHooks}/${pin(hook.name)}`);
      kernel.close(link);
    } finally {
      kernel.close(descriptor);
    }
  }
  const kept = new Set(hooks.map(({ name }) => pin(name)));
  for (const old of present.filter((name) => !kept.has(name))) kernel.removePin(`${pins.processHooks}/${old}`);
  return kept.has(pin('execution')) && !present.some((name) => name.startsWith('execution-'));
}
