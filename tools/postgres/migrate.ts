import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { checkout } from '../dev/command.ts';
import { runToEnd } from '../dev/run-to-end.ts';
import { LOGIN_ROLES, type LoginRole } from './database.ts';

/**
 * Runs all migrations and sets the passwords of the login roles.
 *
 * @param from `dist` runs what was built; `source` needs no build (tests).
 * @throws with what the migrations printed when they fail.
 */
export async function migrate(
  ownerUrl: string,
  passwords: Readonly<Record<LoginRole, string>>,
  from: 'dist' | 'source',
): Promise<void> {
  const entry = resolve(checkout, from === 'dist' ? 'migrations/dist/main.js' : 'migrations/src/main.ts');
  if (!existsSync(entry)) throw new Error(`${entry} does not exist; run \`./dev build\` first.`);
  const environment = Object.fromEntries(
    LOGIN_ROLES.map((role) => [`PALISADE_${role.toUpperCase()}_DB_PASSWORD`, passwords[role]]),
  );
  const conditions = from === 'source' ? ['--conditions=palisade-src'] : [];
  await runToEnd('the migrations', [...conditions, entry, 'up'], { ...process.env, ...environment, MIGRATIONS_DATABASE_URL: ownerUrl, NODE_OPTIONS: '' });
}
