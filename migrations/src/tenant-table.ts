import type { SqlRunner } from './step.ts';

/**
 * The tenant of the transaction. `NULLIF`: an unset or emptied setting gives no rows instead of an error; the
 * sub-select makes it run once per query instead of once per row.
 */
export const CURRENT_TENANT = "(SELECT NULLIF(current_setting('app.tenant_id', true), '')::uuid)";

/**
 * Row-level security of a tenant table, enabled and forced (it binds the owner too). Every table with tenant data calls
 * this; the catalogue test fails otherwise.
 *
 * @param table without schema, for example `clusters`
 */
export async function protectTenantTable(sql: SqlRunner, table: string): Promise<void> {
  await sql.query(`ALTER TABLE palisade.${table} ENABLE ROW LEVEL SECURITY`);
  await sql.query(`ALTER TABLE palisade.${table} FORCE ROW LEVEL SECURITY`);
  await sql.query(`
    CREATE POLICY tenant_rows ON palisade.${table}
      USING (tenant_id = ${CURRENT_TENANT})
      WITH CHECK (tenant_id = ${CURRENT_TENANT})`);
}

/**
 * Lets `palisade_system` see (and with `commands` change) the rows of all tenants of one table: for the few narrow
 * SECURITY DEFINER functions that find out a tenant or dispatch work. No login is a member of that role.
 */
export async function openToSystem(sql: SqlRunner, table: string, commands: 'SELECT' | 'SELECT, UPDATE' | 'SELECT, UPDATE, DELETE'): Promise<void> {
  await sql.query(`CREATE POLICY system_rows ON palisade.${table} TO palisade_system USING (true) WITH CHECK (true)`);
  await sql.query(`GRANT ${commands} ON palisade.${table} TO palisade_system`);
}

/**
 * Makes a function, created SECURITY DEFINER before, run as `palisade_system` and callable by `callers` only.
 *
 * @param signature with schema and argument types: `palisade.find_api_token(text)`
 * @param callers roles; `SESSION_USER` is the owner of the schema
 */
export async function giveToSystem(sql: SqlRunner, signature: string, callers: readonly string[]): Promise<void> {
  await sql.query(`REVOKE ALL ON FUNCTION ${signature} FROM PUBLIC`);
  // Ownership can only be given to a role that may create in the schema: for this statement only.
  await sql.query('GRANT CREATE ON SCHEMA palisade TO palisade_system');
  await sql.query(`ALTER FUNCTION ${signature} OWNER TO palisade_system`);
  await sql.query('REVOKE CREATE ON SCHEMA palisade FROM palisade_system');
  // After the change of owner, which carries the old owner's own rights over to the new one.
  await sql.query('SET ROLE palisade_system');
  await sql.query(`GRANT EXECUTE ON FUNCTION ${signature} TO ${callers.join(', ')}`);
  await sql.query('RESET ROLE');
}

/** Drops a function that was given to `palisade_system`. */
export async function dropSystemFunction(sql: SqlRunner, signature: string): Promise<void> {
  await sql.query('SET ROLE palisade_system');
  await sql.query(`DROP FUNCTION ${signature}`);
  await sql.query('RESET ROLE');
}
