import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseRoot } from '@palisade/bundle';
import type { OpenEpoch } from '@palisade/control';
import type { Logger } from '@palisade/nest-kit';

/** Takes in the recovery commands that `palisade-keys recover-epoch` wrote into the worker's key folder. */
export async function takeRecoveries(keysDir: string, newestRoot: Uint8Array, openEpoch: OpenEpoch, logger: Logger): Promise<void> {
  const folder = join(keysDir, 'recovery');
  if (!existsSync(folder)) return;
  const root = parseRoot(newestRoot);
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.json')).sort()) {
    try {
      if (await openEpoch.execute(root, readFileSync(join(folder, file)))) logger.info({ file }, 'a new epoch was opened');
    } catch (error) {
      logger.error({ err: error, file }, 'an epoch recovery command could not be taken in');
    }
  }
}
