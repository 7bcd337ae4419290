import { DomainError } from '@palisade/errors';
import type { TenantContext } from '@palisade/tenancy';
import type { Pool, PoolClient } from 'pg';
import { inTransaction, setTenant } from './tenant-transaction.ts';

const STATEMENT_TIMEOUT_MS = 10_000;

/** Microseconds since the Unix epoch as a timestamp literal, exactly. */
export function timestampText(us: number): string {
  const ms = Math.floor(us / 1000);
  return `${new Date(ms).toISOString().slice(0, -1)}${String(us - ms * 1000).padStart(3, '0')}Z`;
}

/** Reads in one transaction that sees only the tenant. @throws DomainError `service.unavailable` when a statement takes too long */
export async function inReadTransaction<Result>(pool: Pool, context: TenantContext, work: (client: PoolClient) => Promise<Result>): Promise<Result> {
  try {
    return await inTransaction(pool, 'BEGIN READ ONLY', async (client) => {
      await setTenant(client, context.tenantId);
      // Compiling a plan takes longer than these questions may.
      await client.query(`SELECT set_config('statement_timeout', $1, true), set_config('jit', 'off', true)`, [String(STATEMENT_TIMEOUT_MS)]);
      return work(client);
    });
  } catch (error) {
    if (isNoConnection(error)) throw new DomainError('service.unavailable', 'The flow store is busy or restarting; try again in a moment.', { cause: error });
    // 57014: query_canceled by the timeout.
    if ((error as { code?: unknown }).code !== '57014') throw error;
    throw new DomainError('service.unavailable', 'The query took too long; ask for a shorter window or fewer conditions.', { cause: error });
  }
}

/** The pool gave none in time, or the server went away (SQLSTATE classes 08 and 57P). */
function isNoConnection(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === 'string') return /^(08|57P)/.test(code) || ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT'].includes(code);
  return typeof message === 'string' && /timeout exceeded when trying to connect|Connection terminated/.test(message);
}
