import { Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { ExportFlows, ReadClusters, ReadFlowMetrics, ReadFlows, SummarizeDns, SummarizeFlows, type FlowStatistics } from '@palisade/control';
import { PostgresFlowEdges, PostgresFlowReader, PostgresFlowSources, PostgresFlowStatistics } from '@palisade/flow-store';
import { clusterRepositories, createUnitOfWork, postgresAuditLog } from '@palisade/store';
import pg from 'pg';
import type { DataSource } from 'typeorm';
import { API_CONFIG } from '../application-parts.ts';
import type { ApiConfig } from '../config.ts';
import { DATA_SOURCE } from '../database/database.module.ts';
import { provideUseCase } from '../database/provide-use-case.ts';
import { ExportController } from './export.controller.ts';
import { FLOW_STATISTICS } from './flow-statistics.token.ts';
import { FlowsController } from './flows.controller.ts';
import { FollowController } from './follow.controller.ts';
import { MetricsController } from './metrics.controller.ts';
import { SummariesController } from './summaries.controller.ts';

/** Connections that only flow queries use: a slow one must not hold up the rest of the API. */
const FLOW_POOL = Symbol('flow query connections');
const CONNECTIONS = 4;

/** Token of who reports flows. */
export const FLOW_SOURCES = Symbol('FlowSources');

function openPool(config: ApiConfig): pg.Pool {
  const pool = new pg.Pool({ connectionString: config.DATABASE_URL, max: CONNECTIONS, connectionTimeoutMillis: 5_000, application_name: 'palisade-api-flows' });
  // An idle connection that the server closes is replaced when it is needed.
  pool.on('error', () => undefined);
  return pool;
}

@Module({
  controllers: [FlowsController, FollowController, SummariesController, MetricsController, ExportController],
  providers: [
    { provide: FLOW_POOL, inject: [API_CONFIG], useFactory: openPool },
    { provide: ReadFlows, inject: [FLOW_POOL], useFactory: (pool: pg.Pool) => new ReadFlows({ flows: new PostgresFlowReader(pool) }) },
    { provide: SummarizeFlows, inject: [FLOW_POOL], useFactory: (pool: pg.Pool) => new SummarizeFlows({ edges: new PostgresFlowEdges(pool) }) },
    {
      provide: ExportFlows,
      inject: [ReadFlows, DATA_SOURCE],
      useFactory: (flows: ReadFlows, source: DataSource) => new ExportFlows({ flows, unitOfWork: createUnitOfWork(source, (session) => ({ audit: postgresAuditLog(session) })) }),
    },
    { provide: FLOW_STATISTICS, inject: [FLOW_POOL], useFactory: (pool: pg.Pool) => new PostgresFlowStatistics(pool) },
    { provide: SummarizeDns, inject: [FLOW_STATISTICS, ReadFlows], useFactory: (statistics: FlowStatistics, flows: ReadFlows) => new SummarizeDns({ statistics, flows }) },
    {
      provide: ReadFlowMetrics,
      inject: [SummarizeFlows, FLOW_STATISTICS],
      useFactory: (summaries: SummarizeFlows, statistics: FlowStatistics) => new ReadFlowMetrics({ summaries, statistics }),
    },
    { provide: FLOW_SOURCES, inject: [FLOW_POOL], useFactory: (pool: pg.Pool) => new PostgresFlowSources(pool) },
    provideUseCase(ReadClusters, (source) => new ReadClusters({ unitOfWork: createUnitOfWork(source, clusterRepositories) })),
  ],
  exports: [ReadFlows, SummarizeFlows, FLOW_SOURCES],
})
export class FlowsModule implements OnApplicationShutdown {
  readonly #pool: pg.Pool;

  constructor(@Inject(FLOW_POOL) pool: pg.Pool) {
    this.#pool = pool;
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#pool.end();
  }
}
