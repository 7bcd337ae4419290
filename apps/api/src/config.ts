import { flowStoreIsReachable, flowStoreSettings, listenAddress, logLevel, postgresUrl } from '@palisade/nest-kit';
import { z } from 'zod';

/** The environment of the API. */
export const configSchema = z.object({
  DATABASE_URL: postgresUrl,
  ...flowStoreSettings,
  PALISADE_API_LISTEN: listenAddress.prefault('127.0.0.1:7080'),
  PALISADE_LOG_LEVEL: logLevel,
  PALISADE_API_POOL_SIZE: z.coerce.number().int().min(1).max(200).default(10),
  /** Requests per second and tenant, sustained; short bursts of four times that pass. */
  PALISADE_API_RATE: z.coerce.number().min(1).max(100_000).default(100),
  /**
   * At least 32 characters, the same for all processes of one installation: signs cursors. When it is not given it is
   * derived from DATABASE_URL.
   */
  PALISADE_API_SECRET: z.string().min(32).optional(),
  /** Where Hubble's observer API (gRPC over TLS) listens. */
  PALISADE_HUBBLE_LISTEN: listenAddress.prefault('127.0.0.1:4245'),
  /** How often the token behind an open flow stream is looked at again. */
  PALISADE_HUBBLE_READMIT_MS: z.coerce.number().int().min(50).max(3_600_000).default(30_000),
  /** Folder with `server.crt` and `server.key`; without it the observer API is off, for passwords travel there. */
  PALISADE_HUBBLE_TLS_DIR: z.string().min(1).optional(),
}).refine(...flowStoreIsReachable);

export type ApiConfig = z.output<typeof configSchema>;
