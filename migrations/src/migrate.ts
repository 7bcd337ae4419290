import pg from 'pg';
import { DataSource } from 'typeorm';
import { ensureRoles } from './roles.ts';
import { asTypeOrmMigration, type Step } from './step.ts';

/** Any number, the same for every run: two runs on one database wait for each other. */
const MIGRATION_LOCK = 7_205_759;

/** Runs all steps that have not run. Returns their names. Waits while another process migrates. */
export async function migrateUp(url: string, steps: readonly Step[], environment: Readonly<Record<string, string | undefined>> = {}): Promise<string[]> {
  return withLock(url, async (client) => {
    await ensureRoles(client, environment);
    await client.query('CREATE SCHEMA IF NOT EXISTS palisade');
    return withDataSource(url, steps, async (source) => (await source.runMigrations({ transaction: 'each' })).map(({ name }) => name));
  });
}

/** Takes back the last `count` steps. Data in what they drop is lost. */
export async function migrateDown(url: string, steps: readonly Step[], count: number): Promise<void> {
  await withLock(url, () =>
    withDataSource(url, steps, async (source) => {
      for (let undone = 0; undone < count; undone++) await source.undoLastMigration({ transaction: 'each' });
    }),
  );
}

async function withDataSource<T>(url: string, steps: readonly Step[], work: (source: DataSource) => Promise<T>): Promise<T> {
  const source = new DataSource({
    type: 'postgres',
    url,
    schema: 'palisade',
    applicationName: 'palisade-migrations',
    migrations: steps.map(asTypeOrmMigration),
    migrationsTableName: 'schema_step',
    installExtensions: false,
    poolSize: 2,
  });
  await source.initialize();
  try {
    return await work(source);
  } finally {
    await source.destroy();
  }
}

async function withLock<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'palisade-migrations' });
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    return await work(client);
  } finally {
    await client.end();
  }
}
