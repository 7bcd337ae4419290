import pg from 'pg';

export interface PoolOptions {
  readonly url: string;
  /** Shown in pg_stat_activity, for example `palisade-api-flows`. */
  readonly applicationName: string;
  /** Connections at most. */
  readonly size: number;
  /** Called when an idle connection breaks; the pool has already dropped it, and opens another when one is needed. */
  readonly onIdleError?: (error: unknown) => void;
}

/** Settings of `pg` for what PoolOptions does not say. */
export type PoolSettings = Omit<pg.PoolConfig, 'connectionString' | 'application_name' | 'max' | 'onConnect'>;

/**
 * For `onConnect` of a pool. A connection that the server ends says so by an event, and an event `error` that nobody
 * hears ends the process. The pool listens while a connection is idle only; between its hands and those of who asked
 * for it nobody would. Whoever holds the connection learns of it from the next statement, which fails.
 */
export function hearErrors(client: pg.ClientBase): void {
  client.on('error', () => undefined);
}

/** Opens connections of plain `pg`. Call `end()` to close them. */
export function openPool(options: PoolOptions, settings: PoolSettings = {}): pg.Pool {
  const pool = new pg.Pool({
    connectionTimeoutMillis: 5_000,
    ...settings,
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.size,
    onConnect: hearErrors,
  });
  pool.on('error', options.onIdleError ?? (() => undefined));
  return pool;
}
