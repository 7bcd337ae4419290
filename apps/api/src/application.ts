import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { StandardSchemaSerializerInterceptor, type DynamicModule } from '@nestjs/common';
import { NestFactory, Reflector } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { answerAdmin, createMetrics, Health, httpLatency, NestLogger, ProblemFilter, validationPipe, type Logger, type Registry } from '@palisade/nest-kit';
import type { FastifyInstance } from 'fastify';
import { AppModule, type ApplicationParts } from './app.module.ts';

/** A little over the 4 MiB of policy text that the parser takes. */
const BODY_LIMIT = 5 * 1024 * 1024;
/** For every other route. */
const SMALL_BODY_LIMIT = 256 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;

export interface Application {
  readonly app: NestFastifyApplication;
  readonly health: Health;
}

/**
 * Builds the API without listening.
 *
 * @param root the module with all features; tests put theirs around it
 */
export async function createApplication(parts: ApplicationParts, root: DynamicModule = AppModule.with(parts)): Promise<Application> {
  const { source, logger } = parts;
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: { headersTimeout: 5_000 },
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: 200 },
    genReqId: (request: IncomingMessage) => requestId(request.headers['x-request-id']),
  });
  const health = new Health({ database: () => source.query('SELECT 1') });
  const metrics = createMetrics('api');
  const fastify = adapter.getInstance();
  observe(fastify, logger, metrics);
  serveAdmin(fastify, health, metrics);
  const app = await NestFactory.create<NestFastifyApplication>(root, adapter, { logger: new NestLogger(logger), abortOnError: false });
  app.useBodyParser('application/yaml', { bodyLimit: BODY_LIMIT }, (_request, body, done) => done(null, body.toString('utf8')));
  app.useGlobalPipes(validationPipe());
  app.useGlobalInterceptors(new StandardSchemaSerializerInterceptor(app.get(Reflector)));
  app.useGlobalFilters(new ProblemFilter(logger));
  return { app, health };
}

/** A caller's id when it has a harmless form, else a new one. It is in the response, the logs and the audit events. */
function requestId(given: string | string[] | undefined): string {
  return typeof given === 'string' && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID();
}

function observe(fastify: FastifyInstance, logger: Logger, metrics: Registry): void {
  const latency = httpLatency(metrics);
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.headers({ 'x-request-id': request.id, 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
    const length = Number(request.headers['content-length'] ?? 0);
    const isPolicyText = request.routeOptions.url?.endsWith('/policies') === true;
    done(length > SMALL_BODY_LIMIT && !isPolicyText ? tooLarge() : undefined);
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'unknown';
    latency.observe({ method: request.method, route, status: String(reply.statusCode) }, reply.elapsedTime / 1_000);
    logger.info({ reqId: request.id, method: request.method, path: request.url.split('?')[0], status: reply.statusCode, ms: Math.round(reply.elapsedTime) }, 'request');
    done();
  });
}

function tooLarge(): Error {
  return Object.assign(new Error(`This route takes bodies of at most ${SMALL_BODY_LIMIT} bytes.`), { statusCode: 413 });
}

function serveAdmin(fastify: FastifyInstance, health: Health, metrics: Registry): void {
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    fastify.get(path, async (_request, reply) => {
      const answer = await answerAdmin(path, { health, metrics });
      return reply.status(answer?.status ?? 404).type(answer?.type ?? 'text/plain').send(answer?.body);
    });
  }
}
