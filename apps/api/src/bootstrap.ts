import { ConfigError, postgresUrl, readConfig } from '@palisade/nest-kit';
import { openDatabase } from '@palisade/store';
import { z } from 'zod';
import { ensureFirstTenant } from './bootstrap/first-tenant.ts';

const configSchema = z.object({
  /** The owner of the schema. */
  DATABASE_URL: postgresUrl,
  PALISADE_OWNER_TOKEN_FILE: z.string().min(1),
  PALISADE_TENANT_NAME: z.string().min(1).max(200).default('default'),
});

async function bootstrap(): Promise<string> {
  const config = readConfig(configSchema, process.env);
  const source = await openDatabase({ url: config.DATABASE_URL, applicationName: 'palisade-bootstrap', poolSize: 1 });
  try {
    return await ensureFirstTenant(source, { tenantName: config.PALISADE_TENANT_NAME, tokenFile: config.PALISADE_OWNER_TOKEN_FILE });
  } finally {
    await source.destroy();
  }
}

bootstrap().then(
  (done) => console.log(done),
  (error: unknown) => {
    console.error(error instanceof ConfigError ? error.message : error);
    process.exitCode = 1;
  },
);
