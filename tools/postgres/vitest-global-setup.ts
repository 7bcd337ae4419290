import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { LOGIN_ROLES, OWNER_ROLE, ensureDatabase, ensureOwner, urlFor, type LoginRole } from './database.ts';
import { startPostgres } from './embedded-postgres.ts';
import { migrate } from './migrate.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Superuser connection to the PostgreSQL of this run: for making databases, never for a test's own queries. */
    postgresUrl: string;
    postgresPasswords: Record<LoginRole | 'owner', string>;
  }
}

export const TEMPLATE_DATABASE = 'palisade_template';
const prefix = 'palisade-test-postgres-';

type Passwords = Record<LoginRole | 'owner', string>;

interface SharedPostgres {
  readonly adminUrl: string;
  readonly passwords: Passwords;
  stop(): Promise<void>;
}

// Vitest runs this file once for every project that names it, each time as a module of its own: what they share is global.
const place = globalThis as { palisadeTestPostgres?: { users: number; readonly server: Promise<SharedPostgres> } };

/** Starts one PostgreSQL for the whole run, in memory where it can be, with a migrated template database. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const shared = (place.palisadeTestPostgres ??= { users: 0, server: start() });
  shared.users += 1;
  const { adminUrl, passwords, stop } = await shared.server;
  project.provide('postgresUrl', adminUrl);
  project.provide('postgresPasswords', passwords);
  return async () => {
    shared.users -= 1;
    if (shared.users === 0) await stop();
  };
}

async function start(): Promise<SharedPostgres> {
  const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  removeLeftovers(parent);
  const folder = join(parent, `${prefix}${process.pid}`);
  mkdirSync(folder, { mode: 0o700 });
  const postgres = await startPostgres({
    dataDir: join(folder, 'data'),
    logFile: join(folder, 'postgres.log'),
    durable: false,
    settings: { dynamic_shared_memory_type: 'mmap' },
  });
  // Logins are of the whole server, and it lives as long as this run only.
  const passwords = Object.fromEntries(['owner', ...LOGIN_ROLES].map((role) => [role, `test-${role}`])) as Passwords;
  await ensureOwner(postgres.adminUrl, passwords.owner);
  await ensureDatabase(postgres.adminUrl, TEMPLATE_DATABASE);
  await migrate(urlFor(postgres.adminUrl, OWNER_ROLE, passwords.owner, TEMPLATE_DATABASE), passwords, 'source');
  return {
    adminUrl: postgres.adminUrl,
    passwords,
    stop: async () => {
      await postgres.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A run that was killed could not clean up; its process id tells that it is gone. */
function removeLeftovers(parent: string): void {
  for (const name of readdirSync(parent)) {
    if (!name.startsWith(prefix)) continue;
    if (!existsSync(`/proc/${name.slice(prefix.length)}`)) rmSync(join(parent, name), { recursive: true, force: true });
  }
}
