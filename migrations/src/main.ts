import { MIGRATIONS } from './index.ts';
import { migrateDown, migrateUp } from './migrate.ts';

const usage = 'Usage: main.js up | main.js down [count]   with MIGRATIONS_DATABASE_URL set to the owner of the schema';

async function main([command, count = '1']: readonly string[]): Promise<string> {
  const url = process.env['MIGRATIONS_DATABASE_URL'];
  if (!url) throw new Error(`MIGRATIONS_DATABASE_URL is not set. ${usage}`);
  if (command === 'up') {
    const done = await migrateUp(url, MIGRATIONS, process.env);
    return done.length === 0 ? 'The schema is up to date.' : `Ran ${done.length} migration(s): ${done.join(', ')}`;
  }
  if (command === 'down' && /^[1-9]\d{0,3}$/.test(count)) {
    await migrateDown(url, MIGRATIONS, Number(count));
    return `Took back ${count} migration(s).`;
  }
  throw new Error(usage);
}

try {
  console.log(await main(process.argv.slice(2)));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
