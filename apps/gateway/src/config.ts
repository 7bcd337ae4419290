import { listenAddress, logLevel, postgresUrl, readConfig } from '@palisade/nest-kit';
import { z } from 'zod';

const schema = z.object({
  DATABASE_URL: postgresUrl,
  INGEST_DATABASE_URL: postgresUrl,
  PALISADE_GATEWAY_LISTEN: listenAddress.prefault('0.0.0.0:7443'),
  PALISADE_GATEWAY_ADMIN_LISTEN: listenAddress.prefault('127.0.0.1:7444'),
  PALISADE_GATEWAY_TLS_DIR: z.string().min(1),
  PALISADE_LOG_LEVEL: logLevel,
  /** Longest a check-in is held, milliseconds. */
  PALISADE_HOLD_LIMIT_MS: z.coerce.number().int().min(0).max(300_000).default(60_000),
  /** Check-ins that may wait for the database at once; more are told to come back. */
  PALISADE_CHECK_IN_LIMIT: z.coerce.number().int().min(1).max(100_000).default(2_000),
  /** Enrollments, renewals and recoveries that may wait for the worker at once. */
  PALISADE_REQUEST_LIMIT: z.coerce.number().int().min(1).max(10_000).default(256),
});

export type GatewayConfig = z.output<typeof schema>;

export function readGatewayConfig(environment: NodeJS.ProcessEnv): GatewayConfig {
  return readConfig(schema, environment);
}
