import { QueryFailedError, QueryRunnerAlreadyReleasedError } from 'typeorm';

/** SQLSTATE of a failed statement, or undefined for any other error. */
export function sqlStateOf(error: unknown): string | undefined {
  const source: unknown = error instanceof QueryFailedError ? error.driverError : error;
  return source instanceof Error && 'code' in source && typeof source.code === 'string' ? source.code : undefined;
}

/** Name of the violated constraint, when the error is a violation. */
export function constraintOf(error: unknown): string | undefined {
  const source: unknown = error instanceof QueryFailedError ? error.driverError : error;
  return source instanceof Error && 'constraint' in source && typeof source.constraint === 'string' ? source.constraint : undefined;
}

/** True for a violation of the named unique constraint. */
export function violatesUnique(error: unknown, constraint: string): boolean {
  return sqlStateOf(error) === '23505' && constraintOf(error) === constraint;
}

/** serialization_failure and deadlock_detected: the same transaction may well succeed when run again. */
export function isRetryable(error: unknown): boolean {
  return ['40001', '40P01'].includes(sqlStateOf(error) ?? '');
}

/**
 * The connection is of no use any more: class 08 (connection), 57P01–57P03 (server going down or coming up), 25006
 * (it has become a standby), or the socket is gone.
 */
export function isBrokenConnection(error: unknown): boolean {
  // TypeORM releases a runner by itself when its connection reports an error between two statements.
  if (error instanceof QueryRunnerAlreadyReleasedError) return true;
  const state = sqlStateOf(error);
  if (state !== undefined) {
    return state.startsWith('08') || ['57P01', '57P02', '57P03', '25006', 'ECONNRESET', 'EPIPE', 'ECONNREFUSED', 'ETIMEDOUT'].includes(state);
  }
  const source: unknown = error instanceof QueryFailedError ? error.driverError : error;
  return source instanceof Error && /Connection terminated|not queryable|Client was closed/.test(source.message);
}
