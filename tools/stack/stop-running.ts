import { lockHolder } from './stack-lock.ts';
import { waitFor } from './wait-for.ts';

const STOP_DEADLINE_MS = 40_000;

/**
 * Ends the stack that runs on a state folder, whichever terminal it was started in.
 *
 * @returns whether there was one.
 */
export async function stopRunning(stateDir: string): Promise<boolean> {
  const holder = lockHolder(stateDir);
  if (holder === undefined) return false;
  process.kill(holder.pid, 'SIGTERM');
  await waitFor(`process ${holder.pid} to end`, () => lockHolder(stateDir) === undefined, { withinMs: STOP_DEADLINE_MS });
  return true;
}
