import { DomainError } from '@palisade/errors';
import { parseTenantId } from '@palisade/tenancy';
import type { Pool, PoolClient } from 'pg';

/** Errors after which a connection must not go back to the pool (tenancy-and-audit.md): the server went away or became read-only. */
function isBroken(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return typeof code !== 'string' || code.startsWith('57P') || code.startsWith('08') || code === '25006' || !/^[0-9A-Z]{5}$/.test(code);
}

/** Runs `work` in one transaction; commits, or rolls back and throws what was thrown. */
export async function inTransaction<Result>(pool: Pool, begin: string, work: (client: PoolClient) => Promise<Result>): Promise<Result> {
  const client = await pool.connect().catch((cause: unknown) => {
    throw new DomainError('service.unavailable', 'The flow database does not answer; try again later.', { cause });
  });
  let broken = false;
  // A connection that breaks between two statements says so by an event; without a listener that ends the process.
  const onError = (): void => void (broken = true);
  client.on('error', onError);
  try {
    await client.query(begin);
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    broken ||= isBroken(error);
    if (!broken) await client.query('ROLLBACK').catch(() => (broken = true));
    throw error;
  } finally {
    if (!broken) client.removeListener('error', onError);
    client.release(broken);
  }
}

/** Begins as one tenant, in one round trip. */
export function beginAs(tenantId: string): string {
  // A statement without parameters, so the id is checked here: a UUID can hold nothing else.
  return `BEGIN; SELECT set_config('app.tenant_id', '${parseTenantId(tenantId)}', true)`;
}

/** From now on the transaction sees this tenant and no other. */
export async function setTenant(client: PoolClient, tenantId: string): Promise<void> {
  await client.query(`SELECT set_config('app.tenant_id', $1, true)`, [tenantId]);
}
