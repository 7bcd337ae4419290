import { flowStoreIsReachable, flowStoreSettings, listenAddress, logLevel, postgresUrl, readConfig } from '@palisade/nest-kit';
import { z } from 'zod';

const schema = z.object({
  DATABASE_URL: postgresUrl,
  ...flowStoreSettings,
  /** Where the job queue lives when there is no Redis; DATABASE_URL when absent. */
  QUEUE_DATABASE_URL: postgresUrl.optional(),
  REDIS_URL: z.url({ protocol: /^rediss?$/, error: 'is no Redis URL: use redis://host:port' }).optional(),
  PALISADE_KEYS_DIR: z.string().min(1),
  PALISADE_PROGRAMS_DIR: z.string().min(1),
  /** JSON: whom this installation trusts to vouch for machines; see `ConfiguredAttestor`. */
  PALISADE_ATTESTATION_FILE: z.string().min(1).optional(),
  /** Whether tenants' flow sinks may be plain HTTP and internal addresses. */
  PALISADE_FLOW_SINKS_INTERNAL: z.enum(['true', 'false']).default('false').transform((text) => text === 'true'),
  PALISADE_WORKER_ADMIN_LISTEN: listenAddress.prefault('127.0.0.1:7445'),
  PALISADE_LOG_LEVEL: logLevel,
  /** How often work is looked for that no wake-up announced, milliseconds. */
  PALISADE_RECONCILE_MS: z.coerce.number().int().min(50).max(60_000).default(1_000),
  /** Rollout steps of one tenant at the same time. */
  PALISADE_TENANT_JOBS: z.coerce.number().int().min(1).max(100).default(2),
}).refine(...flowStoreIsReachable);

export type WorkerConfig = z.output<typeof schema>;

export function readWorkerConfig(environment: NodeJS.ProcessEnv): WorkerConfig {
  return readConfig(schema, environment);
}
