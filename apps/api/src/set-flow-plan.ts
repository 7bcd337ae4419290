/**
 * `node apps/api/dist/set-flow-plan.js TENANT [--flows-per-second N] [--bytes-per-day N] [--flow-days N]`: the whole plan of a
 * tenant; what is left out is as the installation is configured.
 */
import { parseArgs } from 'node:util';
import type { FlowPlan } from '@palisade/control';
import { isDomainError } from '@palisade/errors';
import { ConfigError, postgresUrl, readConfig } from '@palisade/nest-kit';
import { openDatabase } from '@palisade/store';
import { parseTenantId } from '@palisade/tenancy';
import { z } from 'zod';
import { setFlowPlan } from './bootstrap/flow-plan.ts';

/** The owner of the schema. */
const configSchema = z.object({ DATABASE_URL: postgresUrl });

async function run(): Promise<string> {
  const { values, positionals } = parseArgs({
    allowPositionals: true, options: { 'flows-per-second': { type: 'string' }, 'bytes-per-day': { type: 'string' }, 'flow-days': { type: 'string' } },
  });
  const number = (text: string | undefined, name: keyof FlowPlan): FlowPlan => (text === undefined ? {} : { [name]: Number(text) });
  const plan = { ...number(values['flows-per-second'], 'flowsPerSecond'), ...number(values['bytes-per-day'], 'bytesPerDay'), ...number(values['flow-days'], 'flowDays') };
  const tenantId = parseTenantId(positionals[0] ?? '');
  const source = await openDatabase({ url: readConfig(configSchema, process.env).DATABASE_URL, applicationName: 'palisade-set-flow-plan', poolSize: 1 });
  try {
    return await setFlowPlan(source, tenantId, plan);
  } finally {
    await source.destroy();
  }
}

run().then(
  (done) => console.log(done),
  (error: unknown) => {
    console.error(error instanceof ConfigError || isDomainError(error) ? error.message : error);
    process.exitCode = 1;
  },
);
