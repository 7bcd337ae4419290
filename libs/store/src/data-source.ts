import { DataSource } from 'typeorm';
import { hearErrors } from './pool.ts';

export interface DatabaseOptions {
  readonly url: string;
  /** Shown in pg_stat_activity, for example `palisade-api`. */
  readonly applicationName: string;
  /** Connections at most; 10 when absent. */
  readonly poolSize?: number;
  /** Milliseconds after which the server cancels a statement; 30,000 when absent. */
  readonly statementTimeoutMs?: number;
  /** Called when an idle connection breaks; the pool has already dropped it. */
  readonly onIdleError?: (error: unknown) => void;
}

/** Opens the pool. Call `destroy()` to close it. */
export async function openDatabase(options: DatabaseOptions): Promise<DataSource> {
  const source = new DataSource({
    type: 'postgres',
    url: options.url,
    schema: 'palisade',
    applicationName: options.applicationName,
    installExtensions: false,
    poolSize: options.poolSize ?? 10,
    connectTimeoutMS: 5_000,
    poolErrorHandler: options.onIdleError ?? (() => undefined),
    extra: {
      statement_timeout: options.statementTimeoutMs ?? 30_000,
      idle_in_transaction_session_timeout: 60_000,
      idleTimeoutMillis: 30_000,
      onConnect: hearErrors,
    },
  });
  return source.initialize();
}
