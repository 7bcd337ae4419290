import { Inject, Module, type OnApplicationShutdown } from '@nestjs/common';
import { ExportFlows, ReadClusters, ReadFlowMetrics, ReadFlows, SummarizeDns, SummarizeFlows, type FlowStatistics } from '@palisade/control';
import { clickHouseFlowReaders, postgresFlowReaders, type FlowReaders } from '@palisade/flow-store';
import { clickHouseOf } from '@palisade/nest-kit';
import { clusterRepositories, createUnitOfWork, openPool, postgresAuditLog } from '@palisade/store';
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

/** Token of the reading parts of the flow store that is configured. */
const FLOW_READERS = Symbol('FlowReaders');

function openReaders(config: ApiConfig, pool: pg.Pool): Promise<FlowReaders> | FlowReaders {
  const clickHouse = clickHouseOf(config);
  return clickHouse === undefined ? postgresFlowReaders(pool) : clickHouseFlowReaders(clickHouse, pool);
}

function openFlowPool(config: ApiConfig): pg.Pool {
  return openPool({ url: config.DATABASE_URL, applicationName: 'palisade-api-flows', size: CONNECTIONS });
}

@Module({
  controllers: [FlowsController, FollowController, SummariesController, MetricsController, ExportController],
  providers: [
    { provide: FLOW_POOL, inject: [API_CONFIG], useFactory: openFlowPool },
    { provide: FLOW_READERS, inject: [API_CONFIG, FLOW_POOL], useFactory: openReaders },
    { provide: ReadFlows, inject: [FLOW_READERS], useFactory: ({ reader }: FlowReaders) => new ReadFlows({ flows: reader }) },
    { provide: SummarizeFlows, inject: [FLOW_READERS], useFactory: ({ edges }: FlowReaders) => new SummarizeFlows({ edges }) },
    {
      provide: ExportFlows,
      inject: [ReadFlows, DATA_SOURCE],
      useFactory: (flows: ReadFlows, source: DataSource) => new ExportFlows({ flows, unitOfWork: createUnitOfWork(source, (session) => ({ audit: postgresAuditLog(session) })) }),
    },
    { provide: FLOW_STATISTICS, inject: [FLOW_READERS], useFactory: ({ statistics }: FlowReaders) => statistics },
    { provide: SummarizeDns, inject: [FLOW_STATISTICS, ReadFlows], useFactory: (statistics: FlowStatistics, flows: ReadFlows) => new SummarizeDns({ statistics, flows }) },
    {
      provide: ReadFlowMetrics,
      inject: [SummarizeFlows, FLOW_STATISTICS],
      useFactory: (summaries: SummarizeFlows, statistics: FlowStatistics) => new ReadFlowMetrics({ summaries, statistics }),
    },
    { provide: FLOW_SOURCES, inject: [FLOW_READERS], useFactory: ({ sources }: FlowReaders) => sources },
    provideUseCase(ReadClusters, (source) => new ReadClusters({ unitOfWork: createUnitOfWork(source, clusterRepositories) })),
  ],
  exports: [ReadFlows, SummarizeFlows, FLOW_SOURCES],
})
export class FlowsModule implements OnApplicationShutdown {
  readonly #pool: pg.Pool;

  readonly #readers: FlowReaders;

  constructor(@Inject(FLOW_POOL) pool: pg.Pool, @Inject(FLOW_READERS) readers: FlowReaders) {
    this.#pool = pool;
    this.#readers = readers;
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#readers.close();
    await this.#pool.end();
  }
}
