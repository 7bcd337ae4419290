import type pg from 'pg';

/** The processes that log in, and the variable that carries each one's password. */
export const LOGIN_ROLES = {
  palisade_api: 'PALISADE_API_DB_PASSWORD',
  palisade_gateway: 'PALISADE_GATEWAY_DB_PASSWORD',
  palisade_worker: 'PALISADE_WORKER_DB_PASSWORD',
  palisade_ingest: 'PALISADE_INGEST_DB_PASSWORD',
} as const;

/**
 * Creates the roles that are missing and sets the passwords that the environment gives. Roles belong to the whole
 * server, so no migration ever drops them. Needs CREATEROLE, unless all roles exist and no password is given.
 */
export async function ensureRoles(client: pg.ClientBase, environment: Readonly<Record<string, string | undefined>>): Promise<void> {
  await ensureSystemRole(client);
  for (const [role, variable] of Object.entries(LOGIN_ROLES)) {
    await ensureRole(client, role, 'LOGIN');
    const password = environment[variable];
    if (password) await retryConcurrent(() => client.query(`ALTER ROLE ${role} PASSWORD ${client.escapeLiteral(password)}`));
  }
}

/** `palisade_system` owns the narrow functions that cross tenants. Nobody logs in as it; only migrations may become it. */
async function ensureSystemRole(client: pg.ClientBase): Promise<void> {
  await ensureRole(client, 'palisade_system', 'NOLOGIN');
  const { rows } = await client.query<{ member: boolean }>("SELECT pg_has_role(current_user, 'palisade_system', 'SET') AS member");
  if (rows[0]?.member) return;
  await retryConcurrent(() => client.query('GRANT palisade_system TO CURRENT_USER WITH SET TRUE, INHERIT FALSE'));
}

async function ensureRole(client: pg.ClientBase, role: string, login: 'LOGIN' | 'NOLOGIN'): Promise<void> {
  const known = await client.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [role]);
  if (known.rowCount !== 0) return;
  await retryConcurrent(async () => {
    try {
      await client.query(`CREATE ROLE ${role} ${login} NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS`);
    } catch (error) {
      // Another run on the same server was faster: duplicate_object, or unique_violation inside the catalogue.
      if (!['42710', '23505'].includes(sqlState(error) ?? '')) throw error;
    }
  });
}

/** "tuple concurrently updated" (XX000): two runs changed the same role at once. */
async function retryConcurrent(work: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await work();
      return;
    } catch (error) {
      if (sqlState(error) !== 'XX000' || attempt === 5) throw error;
    }
  }
}

function sqlState(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
