import { CachedFlowPlans, keptFlows, type FlowEdgeReader, type FlowKeeping, type FlowReader, type FlowSources, type FlowStatistics } from '@palisade/control';
import type { Pool } from 'pg';
import { openClickHouse } from './clickhouse/clickhouse-client.ts';
import type { ClickHouseSession } from './clickhouse/clickhouse-session.ts';
import { checkServerVersion } from './clickhouse/server-version.ts';
import { ClickHouseFlowEdges } from './clickhouse/clickhouse-flow-edges.ts';
import { ClickHouseFlowKeeping } from './clickhouse/clickhouse-flow-keeping.ts';
import { ClickHouseFlowReader } from './clickhouse/clickhouse-flow-reader.ts';
import { ClickHouseFlowSink } from './clickhouse/clickhouse-flow-sink.ts';
import { ClickHouseFlowSources } from './clickhouse/clickhouse-flow-sources.ts';
import { ClickHouseFlowStatistics } from './clickhouse/clickhouse-flow-statistics.ts';
import { applySchema } from './clickhouse/schema/apply-schema.ts';
import type { ClickHouseLayout } from './clickhouse/schema/engines.ts';
import { SegmentSpool } from './clickhouse/spool/segment-spool.ts';
import { FlowHistoryCopy, type FlowHistoryCopyPorts } from './history/flow-history-copy.ts';
import { PostgresFlowEdges } from './postgres/postgres-flow-edges.ts';
import { PostgresFlowPlans } from './postgres/postgres-flow-plans.ts';
import { PostgresFlowReader } from './postgres/postgres-flow-reader.ts';
import { PostgresFlowSources } from './postgres/postgres-flow-sources.ts';
import { PostgresFlowStatistics } from './postgres/postgres-flow-statistics.ts';

/** How ClickHouse is reached; `url` as `openClickHouse` takes it. */
export interface ClickHouseAddress extends ClickHouseLayout {
  readonly url: string;
}

/** @throws Error when the server is too old; one that is away is waited for where it is used */
async function openRecent(url: string): Promise<ClickHouseSession> {
  const session = await openClickHouse(url);
  try {
    await checkServerVersion(session);
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
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
  const session = await openRecent(url);
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
  const session = await openRecent(url);
  const spool = await SegmentSpool.open(ports.spoolDir);
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
  const session = await openRecent(url);
  return { keeping: new ClickHouseFlowKeeping(session, layout, ledger), close: () => session.close() };
}

/**
 * Makes ready to copy what PostgreSQL holds; brings the schema up to date first.
 * @param pool at least two connections of the worker's role; they stay the caller's
 */
export async function flowHistoryCopy({ url, ...layout }: ClickHouseAddress, pool: Pool, onChunk?: FlowHistoryCopyPorts['onChunk']): Promise<{ readonly copy: FlowHistoryCopy; close(): Promise<void> }> {
  const session = await openRecent(url);
  try {
    await applySchema(session, layout);
  } catch (error) {
    await session.close();
    throw error;
  }
  return { copy: new FlowHistoryCopy({ pool, session, layout, ...(onChunk === undefined ? {} : { onChunk }) }), close: () => session.close() };
}
