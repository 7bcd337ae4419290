import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { removeDemoTraces } from '../../demo/traces.ts';
import { checkout } from '../dev/command.ts';
import { say } from '../dev/say.ts';
import { stopRunning } from './stop-running.ts';

const all = join(checkout, '.state');
for (const stack of ['stack', 'demo'].map((name) => join(all, name))) {
  await stopRunning(stack);
  await removeDemoTraces(stack);
}
if (existsSync(all)) rmSync(all, { recursive: true, force: true });
say('All state of this checkout is removed.');
