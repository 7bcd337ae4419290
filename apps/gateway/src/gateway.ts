import type { Http2SecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { clickHouseOf, createMetrics, Gauge, NestLogger, ProblemFilter, type Logger, type Registry } from '@palisade/nest-kit';
import { PROTOBUF_CONTENT_TYPE } from '@palisade/protocol';
import { openAgentPool, postgresAgentDesk, postgresAgentRequestDesk, RedisWakeListener, WakeListener, type Wake } from '@palisade/store';
import type { FastifyInstance } from 'fastify';
import { ConnectionAdmission } from './admission/connection-admission.ts';
import { NodeAdmission } from './admission/node-admission.ts';
import { StreamAdmission } from './admission/stream-admission.ts';
import { agentListener, type RequestHandler } from './agent-listener.ts';
import { registerAgentRoutes } from './agent-routes.ts';
import { CheckInDesk } from './check-in/check-in-desk.ts';
import { takeCheckIn } from './check-in/check-in-stream.ts';
import type { GatewayConfig } from './config.ts';
import { withDownloadCache } from './downloads/cached-agent-desk.ts';
import type { FlowsModuleOptions } from './flows/flows.module.ts';
import { GatewayModule } from './gateway.module.ts';
import { RequestBoard } from './requests/request-board.ts';
import { tlsOptions } from './tls/tls-material.ts';
import { reloadTls } from './tls/tls-reload.ts';
import { passOn } from './wake-ups.ts';

/** Check-ins have connections of their own, and so have downloads and requests: none starves the others. */
const CHECK_IN_CONNECTIONS = 6;
const OTHER_CONNECTIONS = 6;
/** Waits in line for a handshake: about what can be done in the patience, and an agent gives up after 10 s. */
const WAITING_CONNECTIONS = 2_048;
const CONNECTION_PATIENCE_MS = 4_000;

export interface RunningGateway {
  readonly port: number;
  readonly metrics: Registry;
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** Opens the pools and the listener. Resolves when agents can connect. */
export async function startGateway(config: GatewayConfig, logger: Logger): Promise<RunningGateway> {
  const metrics = createMetrics('palisade-gateway');
  const pool = (name: string, size: number) => openAgentPool({ url: config.DATABASE_URL, applicationName: `palisade-gateway-${name}`, size, onIdleError: (error) => logger.warn({ err: error }, 'an idle database connection broke') });
  const checkInPool = pool('check-in', CHECK_IN_CONNECTIONS);
  const otherPool = pool('requests', OTHER_CONNECTIONS);
  const checkIns = new CheckInDesk({ desk: postgresAgentDesk(checkInPool), checkInLimit: config.PALISADE_CHECK_IN_LIMIT, holdLimitMs: config.PALISADE_HOLD_LIMIT_MS });
  const requests = postgresAgentRequestDesk(otherPool);
  const others = postgresAgentDesk(otherPool);
  const nodes = new NodeAdmission(others);
  const board = new RequestBoard(requests, config.PALISADE_REQUEST_LIMIT);
  expose(metrics, checkIns);

  await Promise.all([openAll(checkInPool, CHECK_IN_CONNECTIONS), openAll(otherPool, OTHER_CONNECTIONS)]).catch((error: unknown) => logger.warn({ err: error }, 'the database does not answer yet; agents are told to come back'));
  const app = await listen(config, logger, metrics, (server) => registerAgentRoutes(server, { agents: withDownloadCache(others), requests, board, admission: nodes, pushed: () => checkIns.pushed(), logger }), checkIns, nodes);
  const wakeUps = {
    onError: (error: unknown) => logger.warn({ err: error }, 'the wake-up connection broke and is opened again'),
    onWake: (wake: Wake) => passOn(wake, { checkIns, nodes, board }),
  };
  const listener = config.REDIS_URL === undefined
    ? new WakeListener({ url: config.DATABASE_URL, applicationName: 'palisade-gateway-wake', ...wakeUps })
    : new RedisWakeListener({ url: config.REDIS_URL, ...wakeUps });
  await listener.start();
  const stopReload = reloadTls(app.getHttpServer() as unknown as Http2SecureServer, config.PALISADE_GATEWAY_TLS_DIR, tlsOptions, ({ ok, error }) => (ok ? logger.info('new TLS certificates are in use') : logger.warn({ err: error }, 'new TLS files could not be used yet')));
  const review = setInterval(() => checkIns.stirAll(), config.PALISADE_REVIEW_MS);
  return {
    port: (app.getHttpServer().address() as AddressInfo).port,
    metrics,
    ping: async () => void (await otherPool.query('SELECT 1')),
    async close() {
      clearInterval(review);
      stopReload();
      checkIns.close();
      await listener.close();
      await app.close();
      await Promise.all([checkInPool.end(), otherPool.end()]);
    },
  };
}

/** A fleet that comes back at once finds the connections open: each costs more to open than a batch of check-ins. */
async function openAll(pool: ReturnType<typeof openAgentPool>, size: number): Promise<void> {
  await Promise.all(Array.from({ length: size }, () => pool.query('SELECT pg_sleep(0.05)')));
}

async function listen(config: GatewayConfig, logger: Logger, metrics: Registry, register: (server: FastifyInstance) => void, checkIns: CheckInDesk, nodes: NodeAdmission): Promise<NestFastifyApplication> {
  const admission = new ConnectionAdmission({ handshakes: config.PALISADE_HANDSHAKE_LIMIT, waiting: WAITING_CONNECTIONS, patienceMs: CONNECTION_PATIENCE_MS });
  const streams = {
    flows: new StreamAdmission(config.PALISADE_FLOW_LIMIT, logger),
    // Twice what may wait for the worker: the board refuses in words of its own.
    requests: new StreamAdmission(2 * config.PALISADE_REQUEST_LIMIT, logger),
    downloads: new StreamAdmission(config.PALISADE_DOWNLOAD_LIMIT, logger),
  };
  exposeAdmission(metrics, admission, streams);
  const serverFactory = (onRequest: RequestHandler) =>
    agentListener({
      tls: tlsOptions(config.PALISADE_GATEWAY_TLS_DIR),
      connections: config.PALISADE_CONNECTION_LIMIT,
      admission,
      streams,
      onRequest,
      onCheckIn: (stream, headers) => takeCheckIn({ checkIns, logger }, stream, headers),
      onConnections: (count) => checkIns.sizeOfFleet(count),
    });
  const adapter = new FastifyAdapter({ http2: true, serverFactory, bodyLimit: 1024 * 1024 } as unknown as ConstructorParameters<typeof FastifyAdapter>[0]);
  const server = adapter.getInstance<FastifyInstance>();
  server.addContentTypeParser(PROTOBUF_CONTENT_TYPE, { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  register(server);
  const quota = { flowsPerSecond: config.PALISADE_TENANT_FLOWS_PER_SECOND, bytesPerDay: config.PALISADE_TENANT_FLOW_BYTES_PER_DAY };
  const module = GatewayModule.register({ ingestDatabaseUrl: config.INGEST_DATABASE_URL, admission: nodes, quota, metrics, logger, ...clickHousePart(config) });
  const app = await NestFactory.create<NestFastifyApplication>(module, adapter, { logger: new NestLogger(logger), bodyParser: false });
  app.useGlobalFilters(new ProblemFilter(logger));
  await app.listen(config.PALISADE_GATEWAY_LISTEN.port, config.PALISADE_GATEWAY_LISTEN.host);
  return app;
}

function expose(metrics: Registry, checkIns: CheckInDesk): void {
  new Gauge({ name: 'palisade_gateway_held_check_ins', help: 'Check-ins that wait for news', registers: [metrics], collect() { this.set(checkIns.figures().held); } });
  new Gauge({ name: 'palisade_gateway_waiting_check_ins', help: 'Check-ins that wait for the database', registers: [metrics], collect() { this.set(checkIns.figures().waiting); } });
}

function exposeAdmission(metrics: Registry, admission: ConnectionAdmission, streams: Readonly<Record<string, StreamAdmission>>): void {
  new Gauge({ name: 'palisade_gateway_handshakes', help: 'TLS handshakes under way', registers: [metrics], collect() { this.set(admission.figures().shaking); } });
  new Gauge({ name: 'palisade_gateway_waiting_connections', help: 'Connections that wait for their handshake', registers: [metrics], collect() { this.set(admission.figures().waiting); } });
  new Gauge({ name: 'palisade_gateway_refused_connections', help: 'Connections closed before their handshake since start', registers: [metrics], collect() { this.set(admission.figures().refused); } });
  const each = (pick: (one: StreamAdmission) => number) => Object.entries(streams).map(([kind, one]) => ({ kind, value: pick(one) }));
  new Gauge({ name: 'palisade_gateway_requests', help: 'Requests under way by kind', labelNames: ['kind'], registers: [metrics], collect() { for (const { kind, value } of each((one) => one.figures().active)) this.set({ kind }, value); } });
  new Gauge({ name: 'palisade_gateway_refused_requests', help: 'Requests refused by kind since start', labelNames: ['kind'], registers: [metrics], collect() { for (const { kind, value } of each((one) => one.figures().refused)) this.set({ kind }, value); } });
}

/** Where flows go when it is not PostgreSQL. */
function clickHousePart(config: GatewayConfig): Pick<FlowsModuleOptions, 'clickHouse'> {
  const place = clickHouseOf(config);
  // The configuration is refused when one is there without the other.
  return place === undefined || config.FLOW_SPOOL_DIR === undefined ? {} : { clickHouse: { ...place, spoolDir: config.FLOW_SPOOL_DIR } };
}
