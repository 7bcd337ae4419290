import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { createTestDatabase } from '../../../../tools/postgres/test-database.ts';
import { ClickHouseFlowEdges } from '../clickhouse/clickhouse-flow-edges.ts';
import { ClickHouseFlowKeeping } from '../clickhouse/clickhouse-flow-keeping.ts';
import { ClickHouseFlowReader } from '../clickhouse/clickhouse-flow-reader.ts';
import { ClickHouseFlowSink } from '../clickhouse/clickhouse-flow-sink.ts';
import { ClickHouseFlowSources } from '../clickhouse/clickhouse-flow-sources.ts';
import { ClickHouseFlowStatistics } from '../clickhouse/clickhouse-flow-statistics.ts';
import type { ClickHouseSession } from '../clickhouse/clickhouse-session.ts';
import { applySchema } from '../clickhouse/schema/apply-schema.ts';
import type { ClickHouseLayout } from '../clickhouse/schema/engines.ts';
import { SegmentSpool } from '../clickhouse/spool/segment-spool.ts';
import type { FlowStoreUnderTest } from './flow-store-conformance.ts';

/** All parts of the store on one session, with a ledger and a spool of their own. */
export interface ClickHouseUnderTest {
  readonly store: FlowStoreUnderTest;
  /** Acknowledges before flows land, as gateways use it. `store.sink` lands before it answers. */
  readonly sink: ClickHouseFlowSink;
  readonly ledger: pg.Pool;
  close(): Promise<void>;
}

export function readersOf(session: ClickHouseSession, layout: ClickHouseLayout): Pick<FlowStoreUnderTest, 'reader' | 'edges' | 'sources' | 'statistics'> {
  return {
    reader: new ClickHouseFlowReader(session, layout), edges: new ClickHouseFlowEdges(session, layout), sources: new ClickHouseFlowSources(session, layout),
    statistics: new ClickHouseFlowStatistics(session, layout),
  };
}

/** @param session is closed with it */
export async function clickHouseUnderTest(session: ClickHouseSession, layout: ClickHouseLayout): Promise<ClickHouseUnderTest> {
  const database = await createTestDatabase();
  const ledger = new pg.Pool({ connectionString: database.ingestUrl, max: 4 });
  const worker = new pg.Pool({ connectionString: database.workerUrl, max: 2 });
  await applySchema(session, layout);
  const folder = mkdtempSync(join(tmpdir(), 'palisade-spool-'));
  const sink = new ClickHouseFlowSink({ session, layout, ledger, spool: await SegmentSpool.open(folder) });
  return {
    sink,
    ledger,
    store: {
      // What is stored becomes visible when it lands: the suite reads at once.
      sink: {
        async append(batches) {
          const outcomes = await sink.append(batches);
          await sink.flush();
          return outcomes;
        },
      },
      keeping: new ClickHouseFlowKeeping(session, layout, worker),
      ...readersOf(session, layout),
    },
    async close() {
      await sink.close();
      await session.close();
      await ledger.end();
      await worker.end();
      await database.drop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
