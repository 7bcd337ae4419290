import type { TenantContext } from '@palisade/tenancy';
import type { QueryRunner } from 'typeorm';

/** A transaction in progress: the only thing repositories are made of. */
export interface Session {
  /** Runs one statement with `$1` parameters and answers its rows (also of `RETURNING`). */
  query<Row extends object>(sql: string, parameters?: readonly unknown[]): Promise<Row[]>;
  /** Runs one statement and answers how many rows it touched. */
  execute(sql: string, parameters?: readonly unknown[]): Promise<number>;
}

/** A transaction that sees one tenant. */
export interface TenantSession extends Session {
  readonly context: TenantContext;
}

export function sessionOn(runner: QueryRunner): Session {
  return {
    async query<Row extends object>(sql: string, parameters: readonly unknown[] = []): Promise<Row[]> {
      const result = await runner.query(sql, [...parameters], true);
      return result.records as Row[];
    },
    async execute(sql, parameters = []) {
      const result = await runner.query(sql, [...parameters], true);
      return result.affected ?? 0;
    },
  };
}
