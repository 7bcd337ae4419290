import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Inject, Module, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { AuthenticateToken, ReadFlows, SummarizeFlows, type FlowSources } from '@palisade/control';
import type { Logger } from '@palisade/nest-kit';
import { inTenantTransaction } from '@palisade/store';
import type { TenantContext } from '@palisade/tenancy';
import type { DataSource } from 'typeorm';
import { API_CONFIG, LOGGER } from '../application-parts.ts';
import type { ApiConfig } from '../config.ts';
import { DATA_SOURCE } from '../database/database.module.ts';
import { FLOW_SOURCES, FlowsModule } from '../flows/flows.module.ts';
import { RateLimits } from '../limits/rate-limits.ts';
import { HubbleAccess } from './hubble-access.ts';
import { startHubbleServer, type RunningHubbleServer } from './hubble-server.ts';

const VERSION = 'palisade-0.1.0';

/** Hubble's observer API on a listener of its own, while the API runs and TLS is configured. */
@Module({ imports: [FlowsModule] })
export class HubbleModule implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #config: ApiConfig;
  readonly #logger: Logger;
  readonly #source: DataSource;
  readonly #flows: ReadFlows;
  readonly #summaries: SummarizeFlows;
  readonly #sources: FlowSources;
  readonly #authenticate: AuthenticateToken;
  #server: RunningHubbleServer | undefined;

  constructor(
    @Inject(API_CONFIG) config: ApiConfig, @Inject(LOGGER) logger: Logger, @Inject(DATA_SOURCE) source: DataSource, flows: ReadFlows,
    summaries: SummarizeFlows, @Inject(FLOW_SOURCES) sources: FlowSources, authenticate: AuthenticateToken,
  ) {
    this.#config = config;
    this.#logger = logger;
    this.#source = source;
    this.#flows = flows;
    this.#summaries = summaries;
    this.#sources = sources;
    this.#authenticate = authenticate;
  }

  /** Undefined while the observer API is off. */
  get port(): number | undefined {
    return this.#server?.port;
  }

  async onApplicationBootstrap(): Promise<void> {
    const { PALISADE_HUBBLE_TLS_DIR: folder, PALISADE_HUBBLE_LISTEN: listen, PALISADE_HUBBLE_READMIT_MS: readmitMs, PALISADE_API_RATE: perSecond } = this.#config;
    if (folder === undefined) return;
    const access = new HubbleAccess({
      authenticate: this.#authenticate,
      limits: new RateLimits({ perSecond, now: () => performance.now() }),
      tenantName: (context) => this.#tenantName(context),
    });
    const tls = { certificate: readFileSync(join(folder, 'server.crt')), key: readFileSync(join(folder, 'server.key')) };
    this.#server = await startHubbleServer(listen, tls, { flows: this.#flows, sources: this.#sources, summaries: this.#summaries, access, logger: this.#logger, version: VERSION, readmitMs });
    this.#logger.info({ host: listen.host, port: this.#server.port }, 'the observer API listens');
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#server?.close();
  }

  async #tenantName(context: TenantContext): Promise<string> {
    const [row] = await inTenantTransaction(this.#source, context, (session) => session.query<{ name: string }>('SELECT name FROM palisade.tenants'));
    return row?.name ?? '';
  }
}
