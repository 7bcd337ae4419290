/**
 * `./dev copy-flows [TENANT…]`, or `node dist/copy-flows.js`: copies the flows that PostgreSQL holds to ClickHouse, of all
 * tenants or of those named. Settings as for the worker: DATABASE_URL, FLOW_STORE=clickhouse, CLICKHOUSE_URL and the like.
 * May be ended at any moment and run again. Exit code 1: something failed, differs, or is still waiting.
 */
import { copySentences, flowHistoryCopy } from '@palisade/flow-store';
import { clickHouseOf, flowStoreIsReachable, flowStoreSettings, postgresUrl, readConfig } from '@palisade/nest-kit';
import { openPool } from '@palisade/store';
import { parseTenantId, systemContext } from '@palisade/tenancy';
import type pg from 'pg';
import { z } from 'zod';

const schema = z.object({ DATABASE_URL: postgresUrl, ...flowStoreSettings }).refine(...flowStoreIsReachable);

async function tenants(pool: pg.Pool, named: readonly string[]): Promise<readonly string[]> {
  if (named.length > 0) return named;
  const { rows } = await pool.query<{ tenant_id: string }>('SELECT tenant_id FROM palisade.list_tenants() ORDER BY tenant_id');
  return rows.map((row) => row.tenant_id);
}

async function main(named: readonly string[]): Promise<number> {
  const config = readConfig(schema, process.env);
  const clickHouse = clickHouseOf(config);
  if (clickHouse === undefined) {
    console.error('Flows are copied to where they are kept from now on: set FLOW_STORE=clickhouse and CLICKHOUSE_URL, first for the gateways, then here.');
    return 2;
  }
  const pool = openPool({ url: config.DATABASE_URL, applicationName: 'palisade-copy-flows', size: 3 });
  let done = 0;
  const history = await flowHistoryCopy(clickHouse, pool, ({ chunk, flows }) => {
    done += flows;
    if (process.stderr.isTTY) process.stderr.write(`chunk ${chunk}: ${done} flows so far\n`);
  });
  let complete = true;
  try {
    for (const tenantId of await tenants(pool, named)) {
      const copied = await history.copy.copy(systemContext(parseTenantId(tenantId), 'worker/copy-flows'));
      for (const sentence of copySentences(copied)) console.log(sentence);
      complete &&= copied.differences.length === 0 && copied.waiting === 0;
    }
  } finally {
    await history.close();
    await pool.end();
  }
  return complete ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
