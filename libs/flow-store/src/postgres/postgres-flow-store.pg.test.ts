import pg from 'pg';
import { afterAll, beforeAll } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { describeFlowStore } from '../testing/flow-store-conformance.ts';
import { PostgresFlowReader } from './postgres-flow-reader.ts';
import { PostgresFlowSink } from './postgres-flow-sink.ts';

let database: TestDatabase;
let ingest: pg.Pool;
let api: pg.Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  ingest = new pg.Pool({ connectionString: database.ingestUrl, max: 4 });
  api = new pg.Pool({ connectionString: database.apiUrl, max: 4 });
});

afterAll(async () => {
  await ingest.end();
  await api.end();
  await database.drop();
});

// Every test has a tenant of its own, so one database serves them all.
describeFlowStore('PostgreSQL', () => Promise.resolve({ sink: new PostgresFlowSink(ingest), reader: new PostgresFlowReader(api) }));
