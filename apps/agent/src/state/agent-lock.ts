import { closeSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Another agent works on this state folder. */
export class AgentRuns extends Error {}

/** One agent a state folder: a pid file that counts only while that very process lives. Released by killing the process, too. */
export class AgentLock {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** @throws AgentRuns */
  static take(dir: string): AgentLock {
    const path = join(dir, 'agent.pid');
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        const fd = openSync(path, 'wx', 0o600);
        writeSync(fd, `${process.pid} ${startOf(process.pid)}`);
        closeSync(fd);
        return new AgentLock(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      if (AgentLock.held(dir)) throw new AgentRuns(`An agent already runs on ${dir}. Stop it first.`);
      removeQuietly(path);
    }
    throw new AgentRuns(`The lock ${path} could not be taken.`);
  }

  /** Whether a living agent holds the folder. */
  static held(dir: string): boolean {
    try {
      const [pid, start] = readFileSync(join(dir, 'agent.pid'), 'utf8').split(' ');
      return start !== undefined && start !== '' && startOf(Number(pid)) === start;
    } catch {
      return false;
    }
  }

  release(): void {
    removeQuietly(this.#path);
  }
}

/** Start time in clock ticks since boot (proc(5), field 22): tells a process from a later one with its number. Empty: none. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else was faster.
  }
}
