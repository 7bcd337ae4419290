import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Who runs a stack, and where it can be reached. */
export interface LockHolder {
  readonly pid: number;
  /** When that process began, in clock ticks after boot: a process id alone may be another process by now. */
  readonly startTicks: string;
  readonly apiUrl?: string;
}

function lockFile(stateDir: string): string {
  return join(stateDir, 'stack.json');
}

function startTicks(pid: number): string | undefined {
  try {
    // proc(5): field 22, counted behind the name, which may hold spaces.
    return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[19];
  } catch {
    return undefined;
  }
}

/** The live process that runs a stack on this state folder, if there is one. */
export function lockHolder(stateDir: string): LockHolder | undefined {
  const file = lockFile(stateDir);
  if (!existsSync(file)) return undefined;
  const holder = JSON.parse(readFileSync(file, 'utf8')) as LockHolder;
  return startTicks(holder.pid) === holder.startTicks ? holder : undefined;
}

/**
 * Takes the state folder for this process.
 *
 * @throws with what to do when a stack runs on it already.
 */
export function takeLock(stateDir: string): void {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const holder = lockHolder(stateDir);
  if (holder !== undefined && holder.pid !== process.pid) throw new Error(alreadyRuns(holder));
  rmSync(lockFile(stateDir), { force: true });
  // `wx`: of two that start at once one is told.
  writeFileSync(lockFile(stateDir), JSON.stringify({ pid: process.pid, startTicks: startTicks(process.pid) }), { flag: 'wx' });
}

/** Adds the address to the lock, for the message a second start prints. */
export function publishAddress(stateDir: string, apiUrl: string): void {
  const holder = JSON.parse(readFileSync(lockFile(stateDir), 'utf8')) as LockHolder;
  writeFileSync(lockFile(stateDir), JSON.stringify({ ...holder, apiUrl }));
}

export function releaseLock(stateDir: string): void {
  if (lockHolder(stateDir)?.pid === process.pid) rmSync(lockFile(stateDir), { force: true });
}

function alreadyRuns(holder: LockHolder): string {
  const where = holder.apiUrl === undefined ? 'and is still starting' : `with its API at ${holder.apiUrl}`;
  return `Palisade already runs in this checkout (process ${holder.pid}) ${where}. Stop it with Ctrl-C in its terminal or with ./dev stop.`;
}
