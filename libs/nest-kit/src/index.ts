export { answerAdmin, startAdminServer, type AdminParts } from './admin-server.ts';
export { ConfigError, listenAddress, logLevel, postgresUrl, readConfig, type ListenAddress } from './config.ts';
export { Health, type HealthCheck, type HealthReport } from './health.ts';
export { createLogger, NestLogger, type Logger } from './logging.ts';
export { Counter, createMetrics, Gauge, Histogram, httpLatency, Registry } from './metrics.ts';
export { problemOf, statusOf, type Problem } from './problem.ts';
export { ProblemFilter } from './problem-filter.ts';
export { stopOnSignal } from './shutdown.ts';
export { validationPipe } from './validation-pipe.ts';
