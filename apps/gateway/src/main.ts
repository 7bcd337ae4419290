import 'reflect-metadata';
import { createLogger, Health, startAdminServer, stopOnSignal } from '@palisade/nest-kit';
import { readGatewayConfig } from './config.ts';
import { startGateway } from './gateway.ts';

const config = readGatewayConfig(process.env);
const logger = createLogger('palisade-gateway', config.PALISADE_LOG_LEVEL);
const gateway = await startGateway(config, logger);
const health = new Health({ database: () => gateway.ping() });
const admin = await startAdminServer(config.PALISADE_GATEWAY_ADMIN_LISTEN, { health, metrics: gateway.metrics });
stopOnSignal(logger, async () => {
  health.stop();
  await gateway.close();
  await admin.close();
});
logger.info({ port: gateway.port, admin: admin.port }, 'the gateway is ready');
