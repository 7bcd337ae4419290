import type pg from 'pg';
import { CATALOGUE_EXCEPTIONS } from './catalogue-exceptions.ts';

/** The qualification of `tenant_rows`, as pg_policies prints it. */
const TENANT_ROWS = "(tenant_id = ( SELECT (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid AS \"nullif\"))";

interface TableRow {
  readonly name: string;
  readonly is_leaf: boolean;
  readonly rls: boolean;
  readonly forced: boolean;
  readonly tenant_not_null: boolean | null;
  readonly policies: readonly { name: string; roles: readonly string[]; qual: string | null; check: string | null }[] | null;
}

/**
 * Reads the catalogue of a migrated database and answers one sentence for each breach of the rules of tenant tables.
 * The rules are those of the tenancy design: row-level security enabled and forced with the one policy, keys and
 * foreign keys composite, indexes leading with `tenant_id`, no role that passes row-level security, narrow grants.
 */
export async function catalogueBreaches(client: pg.ClientBase): Promise<string[]> {
  const global = Object.keys(CATALOGUE_EXCEPTIONS.globalTables);
  return [
    ...(await tableBreaches(client, global)),
    ...(await indexBreaches(client, global)),
    ...(await foreignKeyBreaches(client, global)),
    ...(await grantBreaches(client)),
    ...(await roleBreaches(client)),
    ...(await functionBreaches(client)),
  ];
}

async function tableBreaches(client: pg.ClientBase, global: readonly string[]): Promise<string[]> {
  const { rows } = await client.query<TableRow>(`
    SELECT c.relname AS name, c.relispartition AND c.relkind = 'r' AS is_leaf, c.relrowsecurity AS rls, c.relforcerowsecurity AS forced,
           (SELECT a.attnotnull AND a.atttypid = 'uuid'::regtype FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped) AS tenant_not_null,
           (SELECT jsonb_agg(jsonb_build_object('name', p.policyname, 'roles', p.roles, 'qual', p.qual, 'check', p.with_check))
            FROM pg_policies p WHERE p.schemaname = 'palisade' AND p.tablename = c.relname) AS policies
    FROM pg_class c WHERE c.relnamespace = 'palisade'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1`);
  const missing = global.filter((name) => !rows.some((row) => row.name === name)).map((name) => `The exception names the table ${name}, which does not exist.`);
  return [...missing, ...rows.filter((row) => !global.includes(row.name)).flatMap(breachesOfTable)];
}

function breachesOfTable(table: TableRow): string[] {
  const breaches: string[] = [];
  const claim = (holds: boolean, rule: string): void => {
    if (!holds) breaches.push(`${table.name}: ${rule}`);
  };
  claim(table.tenant_not_null === true, 'has no column tenant_id uuid NOT NULL');
  if (table.is_leaf) {
    // COPY FROM is refused on a table with row-level security; leaves are written by ingest and read through the parent.
    claim(!table.rls && !table.policies, 'is a leaf partition with row-level security, so it cannot be copied into');
    return breaches;
  }
  claim(table.rls, 'row-level security is not enabled');
  claim(table.forced, 'row-level security is not forced');
  const ownPolicies = (table.policies ?? []).filter(({ roles }) => roles.join() !== 'palisade_system');
  claim(ownPolicies.length === 1, `has ${ownPolicies.length} policies for tenants, not one`);
  for (const policy of ownPolicies) {
    claim(policy.qual === TENANT_ROWS, `USING of ${policy.name} is not the tenant's own rows: ${policy.qual}`);
    claim(policy.check === TENANT_ROWS, `WITH CHECK of ${policy.name} is not the tenant's own rows: ${policy.check}`);
  }
  return breaches;
}

async function indexBreaches(client: pg.ClientBase, global: readonly string[]): Promise<string[]> {
  const { rows } = await client.query<{ name: string; on_table: string; first: string | null }>(
    `SELECT i.relname AS name, t.relname AS on_table,
            (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = x.indkey[0]) AS first
     FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
     WHERE t.relnamespace = 'palisade'::regnamespace AND t.relname <> ALL ($1) AND NOT t.relispartition ORDER BY 1`,
    [global],
  );
  const excepted = Object.keys(CATALOGUE_EXCEPTIONS.indexesAcrossTenants);
  return [
    ...excepted.filter((name) => !rows.some((row) => row.name === name)).map((name) => `The exception names the index ${name}, which does not exist.`),
    ...rows
      .filter((row) => row.first !== 'tenant_id' && !excepted.includes(row.name))
      .map((row) => `${row.on_table}: index ${row.name} leads with ${row.first ?? 'an expression'}, not with tenant_id`),
  ];
}

async function foreignKeyBreaches(client: pg.ClientBase, global: readonly string[]): Promise<string[]> {
  const { rows } = await client.query<{ name: string; on_table: string }>(
    `SELECT k.conname AS name, t.relname AS on_table
     FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid
     WHERE k.contype = 'f' AND k.connamespace = 'palisade'::regnamespace AND t.relname <> ALL ($1) AND NOT EXISTS (
       SELECT 1 FROM unnest(k.conkey, k.confkey) AS pair (here, there)
       JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = pair.here AND a.attname = 'tenant_id'
       JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = pair.there AND b.attname = 'tenant_id') ORDER BY 1`,
    [global],
  );
  // Row-level security is off during foreign key checks, so the key itself must hold the tenant.
  return rows.map((row) => `${row.on_table}: foreign key ${row.name} does not compare tenant_id`);
}

async function grantBreaches(client: pg.ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ on_table: string; grantee: string; privilege: string; leaf: boolean; kept: boolean }>(`
    SELECT c.relname AS on_table, COALESCE(r.rolname, 'PUBLIC') AS grantee, g.privilege_type AS privilege,
           c.relispartition AND c.relkind = 'r' AS leaf, c.relname IN ('audit_event', 'audit_checkpoint') AS kept
    FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) g LEFT JOIN pg_roles r ON r.oid = g.grantee
    WHERE c.relnamespace = 'palisade'::regnamespace AND c.relkind IN ('r', 'p') AND g.grantee <> c.relowner ORDER BY 1, 2, 3`);
  return rows.flatMap(({ on_table, grantee, privilege, leaf, kept }) => {
    const grant = `${on_table}: ${privilege} is granted to ${grantee}`;
    if (grantee === 'PUBLIC') return [grant];
    if (['TRUNCATE', 'TRIGGER', 'REFERENCES', 'MAINTAIN'].includes(privilege)) return [grant];
    if (leaf && !(grantee === 'palisade_ingest' && privilege === 'INSERT')) return [`${grant}, but a leaf takes INSERT of palisade_ingest only`];
    if (kept && !['INSERT', 'SELECT'].includes(privilege)) return [`${grant}, but what is audited is never changed`];
    return [];
  });
}

async function roleBreaches(client: pg.ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(`
    SELECT rolname AS name FROM pg_roles WHERE rolname LIKE 'palisade%' AND (rolsuper OR rolbypassrls)
    UNION ALL
    SELECT m.rolname || ' as a member of palisade_system' FROM pg_auth_members g JOIN pg_roles m ON m.oid = g.member JOIN pg_roles o ON o.oid = g.roleid
    WHERE o.rolname = 'palisade_system' AND m.rolname IN ('palisade_api', 'palisade_gateway', 'palisade_worker', 'palisade_ingest')`);
  return rows.map(({ name }) => `${name} passes row-level security`);
}

async function functionBreaches(client: pg.ClientBase): Promise<string[]> {
  const { rows } = await client.query<{ name: string; definer: boolean; by_system: boolean; has_path: boolean; open: boolean }>(`
    SELECT p.oid::regprocedure::text AS name, p.prosecdef AS definer, p.proowner = 'palisade_system'::regrole AS by_system,
           EXISTS (SELECT 1 FROM unnest(p.proconfig) s WHERE s LIKE 'search_path=%') AS has_path,
           p.proacl IS NULL OR EXISTS (SELECT 1 FROM aclexplode(p.proacl) g WHERE g.grantee = 0) AS open
    FROM pg_proc p WHERE p.pronamespace = 'palisade'::regnamespace ORDER BY 1`);
  const ofOwner = Object.keys(CATALOGUE_EXCEPTIONS.functionsOfOwner);
  return [
    ...ofOwner.filter((name) => !rows.some((row) => row.name === name)).map((name) => `The exception names the function ${name}, which does not exist.`),
    ...rows.filter((row) => row.open).map((row) => `${row.name} is callable by PUBLIC`),
    ...rows.filter((row) => row.definer && !row.has_path).map((row) => `${row.name} is SECURITY DEFINER without a search_path of its own`),
    ...rows.filter((row) => row.definer && !row.by_system && !ofOwner.includes(row.name)).map((row) => `${row.name} is SECURITY DEFINER but not owned by palisade_system`),
  ];
}
