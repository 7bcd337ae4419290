import { CachedFlowPlans, keptFlows, type FlowEdgeReader, type FlowKeeping, type FlowReader, type FlowSources, type FlowStatistics } from '@palisade/control';
import type { Pool } from 'pg';
import { openClickHouse } from './clickhouse/clickhouse-client.ts';
import { ClickHouseFlowEdges } from './clickhouse/clickhouse-flow-edges.ts';
import { ClickHouseFlowKeeping } from './clickhouse/clickhouse-flow-keeping.ts';
import { ClickHouseFlowReader } from './clickhouse/clickhouse-flow-reader.ts';
import { ClickHouseFlowSink } from './clickhouse/clickhouse-flow-sink.ts';
import { ClickHouseFlowSources } from './clickhouse/clickhouse-flow-sources.ts';
import { ClickHouseFlowStatistics } from './clickhouse/clickhouse-flow-statistics.ts';
import type { ClickHouseLayout } from './clickhouse/schema/engines.ts';
import { SegmentSpool } from './clickhouse/spool/segment-spool.ts';
import { PostgresFlowEdges } from './postgres/postgres-flow-edges.ts';
import { PostgresFlowPlans } from './postgres/postgres-flow-plans.ts';
import { PostgresFlowReader } from './postgres/postgres-flow-reader.ts';
import { PostgresFlowSources } from './postgres/postgres-flow-sources.ts';
import { PostgresFlowStatistics } from './postgres/postgres-flow-statistics.ts';

/** How ClickHouse is reached; `url` as `openClickHouse` takes it. */
export interface ClickHouseAddress extends ClickHouseLayout {
  readonly url: string;
}

/** Every reading part of a store. Single flows are shown for the days of the tenant's plan. */
export interface FlowReaders {
  readonly reader: FlowReader;
  readonly edges: FlowEdgeReader;
  readonly sources: FlowSources;
  readonly statistics: FlowStatistics;
  close(): Promise<void>;
}

function plansOf(pool: Pool): CachedFlowPlans {
  return new CachedFlowPlans(new PostgresFlowPlans(pool));
}

/** @param pool connections of the api's or worker's role; they stay the caller's */
export function postgresFlowReaders(pool: Pool): FlowReaders {
  return {
    ...keptFlows({ reader: new PostgresFlowReader(pool), statistics: new PostgresFlowStatistics(pool) }, plansOf(pool)),
    edges: new PostgresFlowEdges(pool), sources: new PostgresFlowSources(pool), close: () => Promise.resolve(),
  };
}

/** @param settings connections of the api's or worker's role to PostgreSQL, where plans are; they stay the caller's */
export async function clickHouseFlowReaders({ url, ...layout }: ClickHouseAddress, settings: Pool): Promise<FlowReaders> {
  const session = await openClickHouse(url);
  return {
    ...keptFlows({ reader: new ClickHouseFlowReader(session, layout), statistics: new ClickHouseFlowStatistics(session, layout) }, plansOf(settings)),
    edges: new ClickHouseFlowEdges(session, layout), sources: new ClickHouseFlowSources(session, layout), close: () => session.close(),
  };
}

export interface RunningFlowSink {
  readonly sink: ClickHouseFlowSink;
  /** Ends the landing; what has not landed stays in the spool. */
  close(): Promise<void>;
}

/**
 * Opens the spool, takes up what an earlier process left in it, and begins to land it.
 * @param ports.ledger connections of the ingest role; they stay the caller's
 */
export async function clickHouseFlowSink(
  { url, ...layout }: ClickHouseAddress, ports: { readonly ledger: Pool; readonly spoolDir: string; readonly onFailure?: (error: unknown) => void },
): Promise<RunningFlowSink> {
  const spool = await SegmentSpool.open(ports.spoolDir);
  const session = await openClickHouse(url);
  const sink = new ClickHouseFlowSink({ session, layout, ledger: ports.ledger, spool, ...(ports.onFailure === undefined ? {} : { onFailure: ports.onFailure }) });
  sink.start();
  return {
    sink,
    async close() {
      await sink.close();
      await session.close();
    },
  };
}

/** @param ledger connections of the worker's role; they stay the caller's */
export async function clickHouseFlowKeeping({ url, ...layout }: ClickHouseAddress, ledger: Pool): Promise<{ readonly keeping: FlowKeeping; close(): Promise<void> }> {
  const session = await openClickHouse(url);
  return { keeping: new ClickHouseFlowKeeping(session, layout, ledger), close: () => session.close() };
}
