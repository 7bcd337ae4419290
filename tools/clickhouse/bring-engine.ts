import { existsSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../dev/command.ts';
import { say } from '../dev/say.ts';

const folder = import.meta.dirname;

/** Brings the engine of `engine-server.ts` where it is absent or old, as `./dev` does for the checkout's own packages. */
export async function bringEngine(): Promise<void> {
  const note = join(folder, 'node_modules/.package-lock.json');
  const lock = join(folder, 'package-lock.json');
  if (existsSync(note) && statSync(note).mtimeMs >= statSync(lock).mtimeMs) return;
  say('bringing a ClickHouse engine through npm (chdb, about 550 MB unpacked)');
  await must('npm ci in tools/clickhouse', 'npm', ['ci'], { cwd: folder, stdio: ['ignore', 2, 2] });
  const now = new Date();
  utimesSync(note, now, now);
}
