import { Inject, Module, type DynamicModule, type OnApplicationShutdown } from '@nestjs/common';
import { CachedFlowPlans, CachedFlowPrivacy, FlowQuotas, IngestFlowBatch, NO_FLOW_QUOTA, type FlowIngestFigures, type FlowIngestOptions, type FlowQuota, type FlowSink } from '@palisade/control';
import { clickHouseFlowSink, PostgresFlowPlans, PostgresFlowPrivacy, PostgresFlowSink, type ClickHouseAddress, type SpoolFigures } from '@palisade/flow-store';
import { Gauge, type Logger, type Registry } from '@palisade/nest-kit';
import { openPool } from '@palisade/store';
import pg from 'pg';
import { NodeAdmission } from '../admission/node-admission.ts';
import { FlowsController } from './flows.controller.ts';

export interface FlowsModuleOptions {
  /** Connection of the ingest role. */
  readonly ingestDatabaseUrl: string;
  readonly admission: NodeAdmission;
  readonly ingest?: Partial<FlowIngestOptions>;
  /** Of every tenant whose plan says nothing else. */
  readonly quota?: FlowQuota;
  readonly metrics?: Registry;
  /** Absent: flows are stored in PostgreSQL. */
  readonly clickHouse?: ClickHouseAddress & { readonly spoolDir: string };
  readonly logger?: Logger;
}

/** What stands behind the sink and has to be ended after it. */
interface FlowStorePart {
  readonly sink: FlowSink;
  close(): Promise<void>;
}

async function openStore({ clickHouse, logger, metrics }: FlowsModuleOptions, pool: pg.Pool): Promise<FlowStorePart> {
  if (clickHouse === undefined) {
    const sink = new PostgresFlowSink(pool);
    if (metrics !== undefined) exposeFolded(metrics, sink);
    return { sink, close: () => Promise.resolve() };
  }
  const { spoolDir, ...address } = clickHouse;
  const { sink, close } = await clickHouseFlowSink(address, {
    ledger: pool, spoolDir, onFailure: (error) => logger?.warn({ err: error }, 'flows wait in the spool: ClickHouse did not take them'),
  });
  if (metrics !== undefined) {
    exposeFolded(metrics, sink);
    exposeSpool(metrics, () => sink.figures());
  }
  return { sink, close };
}

function exposeFolded(metrics: Registry, sink: Pick<PostgresFlowSink, 'folded'>): void {
  new Gauge({ name: 'palisade_flow_folded_rows', help: 'Flows since start whose edge was summed up as other, for their commit had too many edges', registers: [metrics], collect() { this.set(sink.folded.rows); } });
  new Gauge({ name: 'palisade_flow_folded_edges', help: 'Distinct edges of those flows: an estimate, give or take five percent', registers: [metrics], collect() { this.set(sink.folded.edges); } });
}

const SPOOL_FIGURES = {
  spoolBytes: 'Bytes of acknowledged flows that have not landed in ClickHouse', spoolSegments: 'Segments that have not landed in ClickHouse',
  landedSegments: 'Segments landed since start', landedRows: 'Rows landed since start', failures: 'Landings that failed and are tried again',
} as const satisfies Partial<Record<keyof SpoolFigures, string>>;

function exposeSpool(metrics: Registry, figures: () => SpoolFigures): void {
  for (const [key, help] of Object.entries(SPOOL_FIGURES) as [keyof typeof SPOOL_FIGURES, string][]) {
    const name = `palisade_flow_spool_${key.replace(/^spool/, '').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replace(/^_/, '')}`;
    new Gauge({ name, help, registers: [metrics], collect() { this.set(figures()[key]); } });
  }
}

const STORE = Symbol('flow store');
const POOL = Symbol('flow ingest connections');
const CONNECTIONS = 4;

const FIGURES: Readonly<Record<keyof FlowIngestFigures, string>> = {
  queuedRows: 'Rows that wait for a commit',
  storedRows: 'Rows stored since start',
  duplicates: 'Batches that had been stored before',
  deferred: 'Batches sent back to be tried again',
  overQuota: 'Batches sent back because their tenant is over its quota',
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
  readonly #store: FlowStorePart;

  constructor(@Inject(POOL) pool: pg.Pool, @Inject(IngestFlowBatch) ingest: IngestFlowBatch, @Inject(STORE) store: FlowStorePart) {
    this.#pool = pool;
    this.#store = store;
    this.#ingest = ingest;
  }

  static async register(options: FlowsModuleOptions): Promise<DynamicModule> {
    const pool = openPool({ url: options.ingestDatabaseUrl, applicationName: 'palisade-gateway-flows', size: CONNECTIONS });
    const store = await openStore(options, pool);
    const { quota = NO_FLOW_QUOTA } = options;
    const plans = new CachedFlowPlans(new PostgresFlowPlans(pool));
    const quotas = new FlowQuotas((tenantId) => ({ ...quota, ...plans.known(tenantId) }));
    const privacy = new CachedFlowPrivacy(new PostgresFlowPrivacy(pool));
    const ingest = new IngestFlowBatch({ sink: store.sink, privacy, quotas, ...(options.ingest === undefined ? {} : { options: options.ingest }) });
    if (options.metrics !== undefined) expose(options.metrics, ingest);
    return {
      module: FlowsModule,
      controllers: [FlowsController],
      providers: [{ provide: NodeAdmission, useValue: options.admission }, { provide: POOL, useValue: pool }, { provide: IngestFlowBatch, useValue: ingest }, { provide: STORE, useValue: store }],
    };
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#ingest.close();
    await this.#store.close();
    await this.#pool.end();
  }
}
