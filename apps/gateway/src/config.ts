import { flowStoreIsReachable, flowStoreSettings, listenAddress, logLevel, postgresUrl, readConfig } from '@palisade/nest-kit';
import { z } from 'zod';

const schema = z.object({
  DATABASE_URL: postgresUrl,
  ...flowStoreSettings,
  INGEST_DATABASE_URL: postgresUrl,
  PALISADE_GATEWAY_LISTEN: listenAddress.prefault('0.0.0.0:7443'),
  PALISADE_GATEWAY_ADMIN_LISTEN: listenAddress.prefault('127.0.0.1:7444'),
  PALISADE_GATEWAY_TLS_DIR: z.string().min(1),
  /** Where wake-ups come from; absent: from PostgreSQL. Workers are given the same. */
  REDIS_URL: z.url({ protocol: /^rediss?$/, error: 'is no Redis URL: use redis://host:port' }).optional(),
  PALISADE_LOG_LEVEL: logLevel,
  /** Held check-ins are looked at this often though no wake-up came, milliseconds. */
  PALISADE_REVIEW_MS: z.coerce.number().int().min(1_000).max(600_000).default(10_000),
  /** Folder of this gateway's own, on a disk that keeps: flows wait there between their acknowledgement and ClickHouse. */
  FLOW_SPOOL_DIR: z.string().min(1).optional(),
  /** Longest a check-in is held, milliseconds. */
  PALISADE_HOLD_LIMIT_MS: z.coerce.number().int().min(0).max(300_000).default(60_000),
  /** Check-ins that may wait for the database at once; more are told to come back. */
  PALISADE_CHECK_IN_LIMIT: z.coerce.number().int().min(1).max(100_000).default(2_000),
  /** Enrollments, renewals and recoveries that may wait for the worker at once. */
  PALISADE_REQUEST_LIMIT: z.coerce.number().int().min(1).max(10_000).default(256),
  /** Agents that may be connected at once; each takes about 120 KB. */
  PALISADE_CONNECTION_LIMIT: z.coerce.number().int().min(1).max(1_000_000).default(20_000),
  /** TLS handshakes under way at once; connections that wait for theirs are closed after 4 s or beyond 2,048. */
  PALISADE_HANDSHAKE_LIMIT: z.coerce.number().int().min(1).max(10_000).default(16),
  /** Flow batches that are taken in at once; agents keep what is refused and send it again. */
  PALISADE_FLOW_LIMIT: z.coerce.number().int().min(1).max(10_000).default(64),
  /** Flows a second, and compressed bytes a UTC day, that this gateway takes of one tenant; agents keep the rest. */
  PALISADE_TENANT_FLOWS_PER_SECOND: z.coerce.number().positive().default(Number.POSITIVE_INFINITY),
  PALISADE_TENANT_FLOW_BYTES_PER_DAY: z.coerce.number().positive().default(Number.POSITIVE_INFINITY),
  /** Downloads under way at once. */
  PALISADE_DOWNLOAD_LIMIT: z.coerce.number().int().min(1).max(100_000).default(20_000),
}).refine(...flowStoreIsReachable).refine((config) => config.FLOW_STORE === 'postgres' || config.FLOW_SPOOL_DIR !== undefined, { path: ['FLOW_SPOOL_DIR'], error: 'is needed with FLOW_STORE=clickhouse' });

export type GatewayConfig = z.output<typeof schema>;

export function readGatewayConfig(environment: NodeJS.ProcessEnv): GatewayConfig {
  return readConfig(schema, environment);
}
