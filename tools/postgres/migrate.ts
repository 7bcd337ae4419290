import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { LOGIN_ROLES, type LoginRole } from './database.ts';

const root = resolve(import.meta.dirname, '../..');

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
  const entry = resolve(root, from === 'dist' ? 'migrations/dist/main.js' : 'migrations/src/main.ts');
  if (!existsSync(entry)) throw new Error(`${entry} does not exist; run \`./dev build\` first.`);
  const environment = Object.fromEntries(
    LOGIN_ROLES.map((role) => [`PALISADE_${role.toUpperCase()}_DB_PASSWORD`, passwords[role]]),
  );
  const conditions = from === 'source' ? ['--conditions=palisade-src'] : [];
  const child = spawn(process.execPath, [...conditions, entry, 'up'], {
    cwd: root,
    env: { ...process.env, ...environment, MIGRATIONS_DATABASE_URL: ownerUrl, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const code = await new Promise<number | null>((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  });
  if (code !== 0) throw new Error(`The migrations failed with exit code ${code}:\n${output}`);
}
