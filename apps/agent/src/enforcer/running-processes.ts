import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { EXECUTION, MAX_ARGUMENT_BYTES, MAX_CGROUP_NAME, MAX_PATH_BYTES, textBytes } from '@palisade/dataplane';

/** Kernel times are never this large: executions that were found in /proc instead of seen. */
const FOUND = 1n << 63n;

function read<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined; // It ended, or this agent may not look.
  }
}

/** Process ids in /proc. */
export function processIds(proc = '/proc'): readonly number[] {
  return readdirSync(proc).filter((name) => /^[1-9][0-9]*$/.test(name)).map(Number);
}

/**
 * What a process that runs now executes, from /proc (proc(5)); undefined for kernel threads and what has ended. The link to
 * the program is not readable without more privileges than the agent has for some processes: their first argument stands in.
 */
export function findExecution(pid: number, proc = '/proc'): { readonly id: bigint; readonly value: Uint8Array } | undefined {
  const folder = `${proc}/${pid}`;
  const command = read(() => readFileSync(`${folder}/cmdline`));
  if (command === undefined || command.length === 0) return undefined;
  const status = read(() => readFileSync(`${folder}/status`, 'utf8')) ?? '';
  const cgroups = read(() => readFileSync(`${folder}/cgroup`, 'utf8')) ?? '';
  const end = command.indexOf(0);
  const first = command.subarray(0, end < 0 ? command.length : end).toString();
  const path = read(() => readlinkSync(`${folder}/exe`))?.replace(/ \(deleted\)$/, '') ?? first;
  const kept = new Uint8Array(MAX_ARGUMENT_BYTES);
  kept.set(command.subarray(0, MAX_ARGUMENT_BYTES));
  const value = EXECUTION.encode({
    pid,
    uid: Number(/^Uid:\s+(\d+)/m.exec(status)?.[1] ?? 0),
    argument_bytes: command.length,
    path: textBytes(path, MAX_PATH_BYTES),
    cgroup: textBytes(lastCgroup(cgroups), MAX_CGROUP_NAME),
    arguments: kept,
  });
  return { id: FOUND | BigInt(pid), value };
}

/** Last part of the unified path, or of the deepest one where v2 holds no processes. */
function lastCgroup(text: string): string {
  const paths = text.split('\n').map((line) => line.split(':').slice(2).join(':'));
  const unified = text.split('\n').find((line) => line.startsWith('0::'))?.slice(3);
  const path = unified !== undefined && unified !== '/' ? unified : (paths.toSorted((a, b) => b.split('/').length - a.split('/').length)[0] ?? '');
  return path.split('/').at(-1) ?? '';
}
