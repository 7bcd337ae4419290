import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Resident memory of a process, bytes. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(match?.[1] ?? 0) * 1024;
}

const SAMPLE_MS = 1_000;
/** Longer than V8 waits before it cleans up after a burst of work (8 s, then half a second for each further step). */
const QUIET_SAMPLES = 20;
const SAMPLES = 90;

/**
 * Resident memory of a process that has come to rest, bytes: when it has not changed by 1 % for twenty seconds, and after 90
 * seconds whatever it does.
 */
export async function idleResidentBytes(pid: number): Promise<number> {
  const recent: number[] = [];
  for (let sample = 0; sample < SAMPLES; sample += 1) {
    recent.push(residentBytes(pid));
    if (recent.length > QUIET_SAMPLES) recent.shift();
    if (recent.length === QUIET_SAMPLES && Math.max(...recent) - Math.min(...recent) <= 0.01 * Math.max(...recent)) break;
    await delay(SAMPLE_MS);
  }
  return recent.at(-1) ?? 0;
}
