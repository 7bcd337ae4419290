import type { PoolClient } from 'pg';
import { setTenant } from '../postgres/tenant-transaction.ts';

/** A batch as the ledger in PostgreSQL knows it (`palisade.flow_batch`). Names are those of its columns. */
export interface LedgerBatch {
  readonly tenant_id: string;
  readonly node_id: string;
  readonly boot_id: string;
  readonly seq: number;
  readonly cluster_id: string;
  readonly rows: number;
  readonly window_start_us: number;
  readonly window_end_us: number;
  readonly seen: number;
  readonly sampled: number;
  readonly losses: Readonly<Record<string, number>>;
  readonly incomplete: boolean;
}

/** (node, boot, seq) in a tenant. */
export function batchKey({ tenant_id, node_id, boot_id, seq }: { readonly tenant_id: string; readonly node_id: string; readonly boot_id: string; readonly seq: number | string }): string {
  return `${tenant_id} ${node_id} ${boot_id} ${seq}`;
}

type Taken = { readonly node_id: string; readonly boot_id: string; readonly seq: string; readonly batch_id: string };

/**
 * Enters batches in the ledger, in the caller's transaction. Of two gateways that enter the same batch, one waits for what
 * becomes of the other's transaction.
 * @returns ids of those that are new, by `batchKey`; what is absent was committed before
 */
export async function enterBatches(client: PoolClient, batches: readonly LedgerBatch[]): Promise<Map<string, string>> {
  const taken = new Map<string, string>();
  for (const [tenantId, own] of Map.groupBy(batches, ({ tenant_id }) => tenant_id)) {
    await setTenant(client, tenantId);
    const { rows } = await client.query<Taken>({
      name: 'clickhouse-flow-ledger',
      text: `INSERT INTO palisade.flow_batch (tenant_id, node_id, boot_id, seq, cluster_id, "rows", window_start, window_end, seen, sampled, losses, incomplete)
        SELECT $1, b.node_id, b.boot_id, b.seq, b.cluster_id, b."rows",
          timestamptz 'epoch' + b.window_start_us * interval '1 microsecond', timestamptz 'epoch' + b.window_end_us * interval '1 microsecond',
          b.seen, b.sampled, b.losses, b.incomplete
        FROM jsonb_to_recordset($2::jsonb) AS b(node_id uuid, boot_id uuid, seq bigint, cluster_id uuid, "rows" integer,
          window_start_us bigint, window_end_us bigint, seen bigint, sampled bigint, losses jsonb, incomplete boolean)
        ORDER BY b.node_id, b.boot_id, b.seq
        ON CONFLICT DO NOTHING RETURNING node_id, boot_id, seq, batch_id`,
      values: [tenantId, JSON.stringify(own)],
    });
    for (const row of rows) taken.set(batchKey({ tenant_id: tenantId, ...row }), row.batch_id);
  }
  return taken;
}

/** Ids under which batches are in the ledger, by `batchKey`. */
export async function findBatches(client: PoolClient, batches: readonly Pick<LedgerBatch, 'tenant_id' | 'node_id' | 'boot_id' | 'seq'>[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const [tenantId, own] of Map.groupBy(batches, ({ tenant_id }) => tenant_id)) {
    await setTenant(client, tenantId);
    const { rows } = await client.query<Taken>(
      `SELECT l.node_id, l.boot_id, l.seq, l.batch_id FROM palisade.flow_batch l
        JOIN jsonb_to_recordset($1::jsonb) AS b(node_id uuid, boot_id uuid, seq bigint) ON (l.node_id, l.boot_id, l.seq) = (b.node_id, b.boot_id, b.seq)`,
      [JSON.stringify(own.map(({ node_id, boot_id, seq }) => ({ node_id, boot_id, seq })))],
    );
    for (const row of rows) found.set(batchKey({ tenant_id: tenantId, ...row }), row.batch_id);
  }
  return found;
}
