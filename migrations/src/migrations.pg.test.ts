import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withClient } from '../../tools/postgres/database.ts';
import { createTestDatabase, type TestDatabase } from '../../tools/postgres/test-database.ts';
import { catalogueBreaches } from './catalogue.ts';
import { MIGRATIONS, migrateDown, migrateUp } from './index.ts';

/** Everything that a migration can make, one line each: what `down` must take back exactly. */
const SCHEMA_SQL = `
  SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || a.attnotnull::text AS line
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  WHERE c.relnamespace = 'palisade'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL SELECT 'relation ' || relname || relkind::text || COALESCE(relacl::text, '') FROM pg_class WHERE relnamespace = 'palisade'::regnamespace
  UNION ALL SELECT 'constraint ' || conrelid::regclass::text || conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'palisade'::regnamespace
  UNION ALL SELECT 'policy ' || tablename || policyname || roles::text FROM pg_policies WHERE schemaname = 'palisade'
  UNION ALL SELECT 'function ' || oid::regprocedure::text || COALESCE(proacl::text, '') FROM pg_proc WHERE pronamespace = 'palisade'::regnamespace
  UNION ALL SELECT 'trigger ' || tgrelid::regclass::text || tgname FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace = 'palisade'::regnamespace AND typtype IN ('e', 'd')
  UNION ALL SELECT 'schema ' || nspname || COALESCE(nspacl, acldefault('n', nspowner))::text FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
  ORDER BY 1`;

const schemaOf = (database: TestDatabase): Promise<string[]> =>
  withClient(database.adminUrl, async (client) => (await client.query<{ line: string }>(SCHEMA_SQL)).rows.map(({ line }) => line));

describe('the migrations', () => {
  it('have numbers that rise, each used once', () => {
    const numbers = MIGRATIONS.map(({ id }) => Number(id.slice(0, 4)));
    expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
  });

  it('each go up, down and up again to the same schema, and leave nothing when taken back', async () => {
    const database = await createTestDatabase('empty');
    try {
      await migrateUp(database.ownerUrl, []);
      const schemas = [await schemaOf(database)];
      for (let n = 1; n <= MIGRATIONS.length; n++) {
        await migrateUp(database.ownerUrl, MIGRATIONS.slice(0, n));
        schemas.push(await schemaOf(database));
      }
      for (let n = MIGRATIONS.length; n > 0; n--) {
        await migrateDown(database.ownerUrl, MIGRATIONS.slice(0, n), 1);
        expect(await schemaOf(database), `after taking back ${MIGRATIONS[n - 1]?.id}`).toEqual(schemas[n - 1]);
      }
      await migrateUp(database.ownerUrl, MIGRATIONS);
      expect(await schemaOf(database)).toEqual(schemas.at(-1));
    } finally {
      await database.drop();
    }
    // Every step is run three times and the schema read after each: the more steps, the longer.
  }, 120_000);

  it('run a step that was added between others after those had run', async () => {
    const database = await createTestDatabase('empty');
    try {
      const late = MIGRATIONS.filter(({ id }) => id.startsWith('0002') || id.startsWith('0004'));
      await migrateUp(database.ownerUrl, MIGRATIONS.filter((step) => !late.includes(step)));
      expect((await migrateUp(database.ownerUrl, MIGRATIONS)).length).toBe(late.length);
    } finally {
      await database.drop();
    }
  });

  it('run once when two processes migrate at the same time', async () => {
    const database = await createTestDatabase('empty');
    try {
      const runs = await Promise.all([migrateUp(database.ownerUrl, MIGRATIONS), migrateUp(database.ownerUrl, MIGRATIONS)]);
      expect(runs.map(({ length }) => length).toSorted((a, b) => a - b)).toEqual([0, MIGRATIONS.length]);
    } finally {
      await database.drop();
    }
  });
});

describe('the catalogue of the migrated database', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  it('has no table, key, index, grant, role or function that breaks the rules of tenant tables', async () => {
    expect(await withClient(database.ownerUrl, catalogueBreaches)).toEqual([]);
  });

  it.each([
    ['CREATE TABLE palisade.seeded (id uuid PRIMARY KEY)', 'seeded: has no column tenant_id uuid NOT NULL'],
    ['CREATE TABLE palisade.seeded (tenant_id uuid PRIMARY KEY)', 'seeded: row-level security is not enabled'],
    ['ALTER TABLE palisade.clusters NO FORCE ROW LEVEL SECURITY', 'clusters: row-level security is not forced'],
    ['CREATE POLICY wide ON palisade.clusters USING (true)', 'clusters: USING of wide is not the tenant\'s own rows: true'],
    ['CREATE INDEX seeded ON palisade.clusters (name)', 'clusters: index seeded leads with name, not with tenant_id'],
    ['ALTER TABLE palisade.policies ADD UNIQUE (id), ADD CONSTRAINT seeded FOREIGN KEY (id) REFERENCES palisade.policies (id)', 'policies: foreign key seeded does not compare tenant_id'],
    ['GRANT SELECT ON palisade.clusters TO PUBLIC', 'clusters: SELECT is granted to PUBLIC'],
    ['GRANT DELETE ON palisade.audit_event TO palisade_api', 'audit_event: DELETE is granted to palisade_api, but what is audited is never changed'],
    ["CREATE FUNCTION palisade.seeded() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", 'palisade.seeded() is SECURITY DEFINER without a search_path of its own'],
  ])('is found out when it has: %s', async (statement, breach) => {
    await withClient(database.ownerUrl, async (client) => {
      await client.query('BEGIN');
      await client.query(statement);
      expect(await catalogueBreaches(client)).toContainEqual(breach);
      await client.query('ROLLBACK');
    });
  });
});
