import { DomainError } from '@palisade/errors';
import { parseTenantId, type TenantContext } from '@palisade/tenancy';
import type { Pool, PoolClient } from 'pg';
import { inTransaction } from './tenant-transaction.ts';

const STATEMENT_TIMEOUT_MS = 10_000;

/** Microseconds since the Unix epoch as a timestamp literal, exactly. */
export function timestampText(us: number): string {
  const ms = Math.floor(us / 1000);
  return `${new Date(ms).toISOString().slice(0, -1)}${String(us - ms * 1000).padStart(3, '0')}Z`;
}

/** One round trip for all that comes before a question. The id is in the form of a UUID: it cannot hold anything else. */
function beginReading(tenantId: TenantContext['tenantId']): string {
  // Compiling a plan takes longer than these questions may.
  return `BEGIN READ ONLY; SELECT set_config('app.tenant_id', '${parseTenantId(tenantId)}', true), set_config('statement_timeout', '${STATEMENT_TIMEOUT_MS}', true), set_config('jit', 'off', true)`;
}

/** Reads in one transaction that sees only the tenant. @throws DomainError `service.unavailable` when a statement takes too long */
export async function inReadTransaction<Result>(pool: Pool, context: TenantContext, work: (client: PoolClient) => Promise<Result>): Promise<Result> {
  try {
    return await inTransaction(pool, beginReading(context.tenantId), work);
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
