import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What a step needs of TypeORM's runner. */
export interface SqlRunner {
  query(sql: string, parameters?: unknown[]): Promise<unknown>;
}

/** One step of the schema. `up` and `down` run in a transaction each, as the owner of the schema. */
export interface Step {
  /** Four digits and a name: `0010-enrollment`. Never changed after a release. */
  readonly id: string;
  up(sql: SqlRunner): Promise<void>;
  down(sql: SqlRunner): Promise<void>;
}

/** TypeORM orders migrations by the last 13 characters of their name, as a number. */
export function asTypeOrmMigration(step: Step): new () => MigrationInterface {
  const number = /^(\d{4})-[a-z0-9-]+$/.exec(step.id)?.[1];
  if (number === undefined) throw new Error(`'${step.id}' is no name of a migration: use four digits and a name, such as 0010-enrollment.`);
  const name = `${step.id}-${number.padStart(13, '0')}`;
  return class implements MigrationInterface {
    readonly name = name;

    up(runner: QueryRunner): Promise<void> {
      return step.up(runner);
    }

    down(runner: QueryRunner): Promise<void> {
      return step.down(runner);
    }
  };
}
