import { ConfigError, createLogger, readConfig, stopOnSignal } from '@palisade/nest-kit';
import { openDatabase } from '@palisade/store';
import { createApplication } from './application.ts';
import { configSchema } from './config.ts';

async function main(): Promise<void> {
  const config = readConfig(configSchema, process.env);
  const logger = createLogger('api', config.PALISADE_LOG_LEVEL);
  const source = await openDatabase({
    url: config.DATABASE_URL,
    applicationName: 'palisade-api',
    poolSize: config.PALISADE_API_POOL_SIZE,
    onIdleError: (error) => logger.warn({ err: error }, 'an idle database connection broke'),
  });
  const { app, health } = await createApplication({ config, source, logger });
  stopOnSignal(logger, async () => {
    health.stop();
    await app.close();
    await source.destroy();
  });
  const { host, port } = config.PALISADE_API_LISTEN;
  await app.listen(port, host);
  logger.info({ url: await app.getUrl() }, 'listening');
}

main().catch((error: unknown) => {
  console.error(error instanceof ConfigError ? error.message : error);
  process.exitCode = 1;
});
