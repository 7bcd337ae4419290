import { DEFAULT_FLOW_PRIVACY, type FlowPrivacy } from '@palisade/flow';
import type { FlowPrivacySource } from '@palisade/control';
import type { TenantId } from '@palisade/tenancy';
import type { Pool } from 'pg';
import { inTransaction, setTenant } from './tenant-transaction.ts';

/** Reads a tenant's setting with the ingest role. */
export class PostgresFlowPrivacy implements FlowPrivacySource {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  of(tenantId: TenantId): Promise<FlowPrivacy> {
    return inTransaction(this.#pool, 'BEGIN READ ONLY', async (client) => {
      await setTenant(client, tenantId);
      const { rows } = await client.query<{ queries: boolean; arguments: boolean }>('SELECT keep_query_strings AS queries, keep_process_arguments AS arguments FROM palisade.flow_privacy');
      const [row] = rows;
      return row === undefined ? DEFAULT_FLOW_PRIVACY : { keepQueryStrings: row.queries, keepProcessArguments: row.arguments };
    });
  }
}
