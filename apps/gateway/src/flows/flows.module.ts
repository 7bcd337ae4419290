import { Inject, Module, type DynamicModule, type OnApplicationShutdown } from '@nestjs/common';
import { IngestFlowBatch, type FlowIngestFigures, type FlowIngestOptions } from '@palisade/control';
import { PostgresFlowSink } from '@palisade/flow-store';
import { Gauge, type Registry } from '@palisade/nest-kit';
import pg from 'pg';
import { FlowsController } from './flows.controller.ts';

export interface FlowsModuleOptions {
  /** Connection of the ingest role. */
  readonly ingestDatabaseUrl: string;
  readonly ingest?: Partial<FlowIngestOptions>;
  readonly metrics?: Registry;
}

const POOL = Symbol('flow ingest connections');
const CONNECTIONS = 4;

const FIGURES: Readonly<Record<keyof FlowIngestFigures, string>> = {
  queuedRows: 'Rows that wait for a commit',
  storedRows: 'Rows stored since start',
  duplicates: 'Batches that had been stored before',
  deferred: 'Batches sent back to be tried again',
  refused: 'Batches that can never be stored',
  commits: 'Commits since start',
};

function expose(metrics: Registry, ingest: IngestFlowBatch): void {
  for (const [key, help] of Object.entries(FIGURES) as [keyof FlowIngestFigures, string][]) {
    const name = `palisade_flow_ingest_${key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
    new Gauge({ name, help, registers: [metrics], collect() { this.set(ingest.figures()[key]); } });
  }
}

/** Everything that takes flows in: connections of their own, so that their load never holds up a check-in. */
@Module({})
export class FlowsModule implements OnApplicationShutdown {
  readonly #pool: pg.Pool;
  readonly #ingest: IngestFlowBatch;

  constructor(@Inject(POOL) pool: pg.Pool, @Inject(IngestFlowBatch) ingest: IngestFlowBatch) {
    this.#pool = pool;
    this.#ingest = ingest;
  }

  static register(options: FlowsModuleOptions): DynamicModule {
    const pool = new pg.Pool({ connectionString: options.ingestDatabaseUrl, max: CONNECTIONS, connectionTimeoutMillis: 5_000, application_name: 'palisade-gateway-flows' });
    // An idle connection that the server closes is replaced when it is needed.
    pool.on('error', () => undefined);
    const ingest = new IngestFlowBatch({ sink: new PostgresFlowSink(pool), ...(options.ingest === undefined ? {} : { options: options.ingest }) });
    if (options.metrics !== undefined) expose(options.metrics, ingest);
    return {
      module: FlowsModule,
      controllers: [FlowsController],
      providers: [{ provide: POOL, useValue: pool }, { provide: IngestFlowBatch, useValue: ingest }],
    };
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#ingest.close();
    await this.#pool.end();
  }
}
