import { DomainError } from '@palisade/errors';
import type { UnitOfWork } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { DataSource, QueryRunner } from 'typeorm';
import { sessionOn, type Session, type TenantSession } from './session.ts';
import { isBrokenConnection, isRetryable } from './sql-state.ts';

const ATTEMPTS = 4;

/**
 * Runs `work` in one transaction that sees only the tenant of `context` (row-level security), see `UnitOfWork`.
 * Throws `service.unavailable` when the database cannot be reached or keeps aborting the transaction.
 */
export function inTenantTransaction<T>(source: DataSource, context: TenantContext, work: (session: TenantSession) => Promise<T>): Promise<T> {
  return inTransaction(source, context.tenantId, (session) => work({ ...session, context }));
}

/**
 * Runs `work` in one transaction without a tenant: every tenant table is empty in it. For the narrow functions that
 * cross tenants (`palisade.list_tenants()`) only.
 */
export function inSystemTransaction<T>(source: DataSource, work: (session: Session) => Promise<T>): Promise<T> {
  return inTransaction(source, '', work);
}

/** Binds the repositories of a capability to transactions on `source`. */
export function createUnitOfWork<R>(source: DataSource, repositories: (session: TenantSession) => R): UnitOfWork<R> {
  return { run: (context, work) => inTenantTransaction(source, context, (session) => work(repositories(session))) };
}

/**
 * Runs one statement without a tenant in its own implicit transaction: one round trip instead of four, for the lookup that
 * every request begins with. For the functions that cross tenants only, as `inSystemTransaction`.
 */
export function systemStatement<Row extends object>(source: DataSource, sql: string, parameters: readonly unknown[]): Promise<Row[]> {
  return withRetries(() => withConnection(source, (runner) => sessionOn(runner).query<Row>(sql, parameters)));
}

function inTransaction<T>(source: DataSource, tenant: string, work: (session: Session) => Promise<T>): Promise<T> {
  return withRetries(() => withConnection(source, (runner) => attemptTransaction(runner, tenant, work)));
}

async function withRetries<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (isBrokenConnection(error)) {
        throw new DomainError('service.unavailable', 'The database connection was lost; nothing was changed unless the commit had been sent. Try again.', { cause: error });
      }
      if (!isRetryable(error)) throw error;
      if (attempt === ATTEMPTS) {
        throw new DomainError('service.unavailable', 'The database kept aborting the transaction because of concurrent changes. Try again.', { cause: error });
      }
    }
  }
}

/** Takes a connection from the pool and gives it back, or throws it away when it broke. */
async function withConnection<T>(source: DataSource, work: (runner: QueryRunner) => Promise<T>): Promise<T> {
  const runner = source.createQueryRunner();
  try {
    return await work(runner);
  } catch (error) {
    if (isBrokenConnection(error)) await discardConnection(runner);
    throw error;
  } finally {
    await runner.release();
  }
}

async function attemptTransaction<T>(runner: QueryRunner, tenant: string, work: (session: Session) => Promise<T>): Promise<T> {
  try {
    await runner.startTransaction();
    await runner.query("SELECT set_config('app.tenant_id', $1, true)", [tenant]);
    const result = await work(sessionOn(runner));
    await runner.commitTransaction();
    return result;
  } catch (error) {
    await rollback(runner, error);
    throw error;
  }
}

async function rollback(runner: QueryRunner, reason: unknown): Promise<void> {
  if (isBrokenConnection(reason) || !runner.isTransactionActive) return;
  try {
    await runner.rollbackTransaction();
  } catch {
    // A connection that cannot roll back may still be inside the transaction: never give it to the next caller.
    await discardConnection(runner);
  }
}

interface EndableConnection {
  end(): Promise<void>;
}

/** Ends the connection: the pool throws away a client that is ending, and opens another when one is needed. */
async function discardConnection(runner: QueryRunner): Promise<void> {
  if (runner.isReleased) return;
  try {
    const connection = (await runner.connect()) as EndableConnection;
    void connection.end().catch(() => undefined);
  } catch {
    // It could not be opened at all.
  }
}
