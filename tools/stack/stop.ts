import { join } from 'node:path';
import { checkout } from '../dev/command.ts';
import { say } from '../dev/say.ts';
import { stopRunning } from './stop-running.ts';

const stopped = await stopRunning(join(checkout, '.state/stack'));
say(stopped ? 'Palisade is stopped.' : 'Palisade does not run in this checkout.');
