import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, inject } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../../../tools/postgres/test-database.ts';
import { describeFlowStore } from '../testing/flow-store-conformance.ts';
import { openClickHouse } from './clickhouse-client.ts';
import { ClickHouseFlowEdges } from './clickhouse-flow-edges.ts';
import { ClickHouseFlowKeeping } from './clickhouse-flow-keeping.ts';
import { ClickHouseFlowReader } from './clickhouse-flow-reader.ts';
import { ClickHouseFlowSink } from './clickhouse-flow-sink.ts';
import { ClickHouseFlowSources } from './clickhouse-flow-sources.ts';
import { ClickHouseFlowStatistics } from './clickhouse-flow-statistics.ts';
import type { ClickHouseSession } from './clickhouse-session.ts';
import { applySchema } from './schema/apply-schema.ts';
import { SegmentSpool } from './spool/segment-spool.ts';

const layout = { database: `test_${randomBytes(4).toString('hex')}` };

let database: TestDatabase;
let ingest: pg.Pool;
let worker: pg.Pool;
let session: ClickHouseSession;
let folder: string;
let sink: ClickHouseFlowSink;

beforeAll(async () => {
  database = await createTestDatabase();
  ingest = new pg.Pool({ connectionString: database.ingestUrl, max: 4 });
  worker = new pg.Pool({ connectionString: database.workerUrl, max: 2 });
  session = await openClickHouse(inject('clickhouseUrl'));
  await applySchema(session, layout);
  folder = mkdtempSync(join(tmpdir(), 'palisade-spool-'));
  sink = new ClickHouseFlowSink({ session, layout, ledger: ingest, spool: await SegmentSpool.open(folder) });
});

afterAll(async () => {
  await sink.close();
  await session.close();
  await ingest.end();
  await worker.end();
  await database.drop();
  rmSync(folder, { recursive: true, force: true });
});

// What is stored becomes visible when it lands: the suite reads at once, so it lands before it is answered.
describeFlowStore('ClickHouse', () =>
  Promise.resolve({
    sink: {
      async append(batches) {
        const outcomes = await sink.append(batches);
        await sink.flush();
        return outcomes;
      },
    },
    reader: new ClickHouseFlowReader(session, layout), edges: new ClickHouseFlowEdges(session, layout), keeping: new ClickHouseFlowKeeping(session, layout, worker),
    sources: new ClickHouseFlowSources(session, layout), statistics: new ClickHouseFlowStatistics(session, layout),
  }),
);
