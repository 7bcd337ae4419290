import pg from 'pg';

/** The role that owns the schema and runs migrations: no superuser, no way round row-level security. */
export const OWNER_ROLE = 'palisade_owner';

/** The roles that processes log in with. Migrations make them and set these passwords. */
export const LOGIN_ROLES = ['api', 'gateway', 'worker', 'ingest'] as const;
export type LoginRole = (typeof LOGIN_ROLES)[number];

/** Runs `work` on a connection that is closed afterwards. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  // A server that is stopped under us ends the query with the same error.
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The same server, another login and database. */
export function urlFor(adminUrl: string, user: string, password: string, database: string): string {
  const url = new URL(adminUrl);
  url.username = user;
  url.password = password;
  url.pathname = `/${database}`;
  return url.href;
}

/** Makes the owner role, or gives the one that is there this password. */
export async function ensureOwner(adminUrl: string, password: string): Promise<void> {
  await withClient(adminUrl, async (client) => {
    const known = await client.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [OWNER_ROLE]);
    const verb = known.rowCount === 0 ? 'CREATE' : 'ALTER';
    await client.query(
      `${verb} ROLE ${OWNER_ROLE} LOGIN CREATEROLE NOSUPERUSER NOBYPASSRLS PASSWORD ${client.escapeLiteral(password)}`,
    );
  });
}

/** Makes a database of the owner's, unless it exists. `template` must have no open connection. */
export async function ensureDatabase(adminUrl: string, name: string, template = 'template0'): Promise<void> {
  await withClient(adminUrl, async (client) => {
    const known = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
    if (known.rowCount !== 0) return;
    await client.query(
      `CREATE DATABASE ${client.escapeIdentifier(name)} OWNER ${OWNER_ROLE} TEMPLATE ${client.escapeIdentifier(template)}`,
    );
  });
}

/** Removes a database and ends what is still connected to it. */
export async function dropDatabase(adminUrl: string, name: string): Promise<void> {
  await withClient(adminUrl, (client) =>
    client.query(`DROP DATABASE IF EXISTS ${client.escapeIdentifier(name)} WITH (FORCE)`),
  );
}
