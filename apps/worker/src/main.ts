import 'reflect-metadata';
import { createLogger, createMetrics, Health, startAdminServer, stopOnSignal } from '@palisade/nest-kit';
import { readWorkerConfig } from './config.ts';
import { startWorker } from './worker.ts';

const config = readWorkerConfig(process.env);
const logger = createLogger('palisade-worker', config.PALISADE_LOG_LEVEL);
const worker = await startWorker(config, logger);
const health = new Health({ database: () => worker.ping() });
const admin = await startAdminServer(config.PALISADE_WORKER_ADMIN_LISTEN, { health, metrics: createMetrics('palisade-worker') });
stopOnSignal(logger, async () => {
  health.stop();
  await worker.close();
  await admin.close();
});
logger.info({ admin: admin.port }, 'the worker is ready');
