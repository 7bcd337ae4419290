import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { createLogger, createMetrics, Health, NestLogger, startAdminServer, stopOnSignal } from '@palisade/nest-kit';
import { readWorkerConfig } from './config.ts';
import { RUNNING_WORKER, WorkerModule } from './worker.module.ts';
import type { RunningWorker } from './worker.ts';

const config = readWorkerConfig(process.env);
const logger = createLogger('palisade-worker', config.PALISADE_LOG_LEVEL);
const app = await NestFactory.createApplicationContext(WorkerModule.with(config, logger), { logger: new NestLogger(logger), abortOnError: false });
const worker = app.get<RunningWorker>(RUNNING_WORKER);
const health = new Health({ database: () => worker.ping() });
const admin = await startAdminServer(config.PALISADE_WORKER_ADMIN_LISTEN, { health, metrics: createMetrics('palisade-worker') });
stopOnSignal(logger, async () => {
  health.stop();
  await app.close();
  await admin.close();
});
logger.info({ admin: admin.port }, 'the worker is ready');
