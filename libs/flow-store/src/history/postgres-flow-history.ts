import type { FlowLosses } from '@palisade/flow';
import type { StoredFlow } from '@palisade/control';
import type { TenantContext } from '@palisade/tenancy';
import type { Pool, PoolClient } from 'pg';
import { ofBatches } from '../postgres/committed-batches.ts';
import { Parameters } from '../postgres/flow-filter-sql.ts';
import { FLOW_ROW_COLUMNS, nameFlows, type FlowRow } from '../postgres/flow-rows.ts';
import { inTransaction, setTenant } from '../postgres/tenant-transaction.ts';

/** A place in a tenant's ledger: everything up to and with this batch is behind it. */
export interface LedgerPlace {
  readonly commit_order: string;
  readonly batch_id: string;
}

/** A batch of the ledger, as PostgreSQL gives it: bigint as text. */
export interface HistoryBatch extends LedgerPlace {
  readonly node_id: string;
  readonly boot_id: string;
  readonly seq: string;
  readonly cluster_id: string;
  readonly rows: number;
  readonly window_start: string;
  readonly window_end: string;
  readonly window_start_us: string;
  readonly window_end_us: string;
  readonly received_us: string;
  readonly seen: string;
  readonly sampled: string;
  readonly losses: FlowLosses;
  readonly incomplete: boolean;
}

export interface HistoryChunk {
  readonly batches: readonly HistoryBatch[];
  /** Flows by batch, in order of their rows. A batch without flows here is absent. */
  readonly flows: ReadonlyMap<string, readonly StoredFlow[]>;
  /** Name of each node that was seen observing. */
  readonly nodeNames: ReadonlyMap<string, string>;
}

const BATCH_COLUMNS = `commit_order, batch_id, node_id, boot_id, seq, cluster_id, "rows", window_start::text, window_end::text,
  (extract(epoch FROM window_start) * 1000000)::bigint AS window_start_us, (extract(epoch FROM window_end) * 1000000)::bigint AS window_end_us,
  (extract(epoch FROM received_at) * 1000000)::bigint AS received_us, seen, sampled, losses, incomplete`;

/** Reads a tenant's flows batch by batch, in the order of the ledger, with the worker's role. */
export class PostgresFlowHistory {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  /** The commit order below which everything is final now. */
  end(context: TenantContext): Promise<string> {
    return this.#read(context, async (client) => {
      const { rows } = await client.query<{ commit: string }>('SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS commit');
      return rows[0]?.commit ?? '0';
    });
  }

  /** The first instant of the oldest day that has flows here, microseconds; 0 when there is no day. */
  oldestUs(context: TenantContext): Promise<number> {
    return this.#read(context, async (client) => {
      const { rows } = await client.query<{ us: string }>(`SELECT coalesce(min(d - date '1970-01-01'), 0) * 86400000000::bigint AS us FROM palisade.flow_partition_days() d`);
      return Number(rows[0]?.us ?? 0);
    });
  }

  /** The next whole batches behind `place` and below `end`, at most `rows` flows by what the ledger says, at least one batch when there is any. */
  chunkAfter(context: TenantContext, place: LedgerPlace, end: string, limits: { readonly batches: number; readonly rows: number }): Promise<HistoryChunk> {
    return this.#read(context, async (client) => {
      const { rows } = await client.query<HistoryBatch>(
        `SELECT ${BATCH_COLUMNS} FROM palisade.flow_batch WHERE (commit_order, batch_id) > ($1::bigint, $2::bigint) AND commit_order < $3::bigint
          ORDER BY flow_batch.commit_order, flow_batch.batch_id LIMIT $4`,
        [place.commit_order, place.batch_id, end, limits.batches],
      );
      let sum = 0;
      const full = rows.findIndex((batch, index) => (sum += batch.rows) > limits.rows && index > 0);
      return chunkOf(client, full < 0 ? rows : rows.slice(0, full));
    });
  }

  /** The same batches again. What the ledger has forgotten is absent. */
  chunk(context: TenantContext, batchIds: readonly string[]): Promise<HistoryChunk> {
    return this.#read(context, async (client) => {
      const { rows } = await client.query<HistoryBatch>(`SELECT ${BATCH_COLUMNS} FROM palisade.flow_batch WHERE batch_id = ANY ($1::bigint[]) ORDER BY flow_batch.commit_order, flow_batch.batch_id`, [batchIds]);
      return chunkOf(client, rows);
    });
  }

  /** One transaction as the tenant. Without the api's time limit: nobody waits for it. */
  #read<Result>(context: TenantContext, work: (client: PoolClient) => Promise<Result>): Promise<Result> {
    return inTransaction(this.#pool, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', async (client) => {
      await setTenant(client, context.tenantId);
      return work(client);
    });
  }
}

async function chunkOf(client: PoolClient, batches: readonly HistoryBatch[]): Promise<HistoryChunk> {
  const withRows = batches.filter(({ rows }) => rows > 0);
  const flows = new Map<string, StoredFlow[]>();
  if (withRows.length > 0) {
    const parameters = new Parameters();
    const conditions = ofBatches(withRows, parameters);
    const { rows } = await client.query<FlowRow>(`SELECT ${FLOW_ROW_COLUMNS} FROM palisade.flow f WHERE ${conditions.join(' AND ')} ORDER BY f.batch_id, f."row"`, parameters.values);
    for (const flow of await nameFlows(client, rows)) {
      const [batchId = ''] = flow.id.split('-');
      const own = flows.get(batchId) ?? [];
      flows.set(batchId, own);
      own.push(flow);
    }
  }
  const names = await client.query<{ node_id: string; node: string }>('SELECT DISTINCT ON (node_id) node_id, node FROM palisade.flow_observer WHERE node_id = ANY ($1::uuid[]) ORDER BY node_id, id', [
    [...new Set(batches.map(({ node_id: id }) => id))],
  ]);
  return { batches, flows, nodeNames: new Map(names.rows.map((row) => [row.node_id, row.node])) };
}
