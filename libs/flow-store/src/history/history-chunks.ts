import { columnsOf, type FlowBatch } from '@palisade/flow';
import type { SentFlowBatch, StoredFlow } from '@palisade/control';
import { parseTenantId, type TenantContext } from '@palisade/tenancy';
import type { ClickHouseSession } from '../clickhouse/clickhouse-session.ts';
import { ContentIds } from '../clickhouse/content-id.ts';
import { flowBlock, prepareBatch, type PreparedBatch } from '../clickhouse/flow-block.ts';
import { SchemaWords, type ClickHouseLayout } from '../clickhouse/schema/engines.ts';
import { entryKey } from '../clickhouse/segment-lander.ts';
import type { HistoryBatch, HistoryChunk } from './postgres-flow-history.ts';

/** Who wrote the copied batches. There is no row that marks its segments, so followers never take history for news. */
export const HISTORY_WRITER = 'history';
/** Dictionary entries that are known to be in ClickHouse. */
const KNOWN_ENTRIES = 500_000;

/** Writes chunks of history, each part under a token made of tenant and chunk: what is written again is stored once. */
export class HistoryChunks {
  readonly #session: ClickHouseSession;
  readonly #words: SchemaWords;
  readonly #contentIds = new ContentIds();
  readonly #known = new Set<string>();

  constructor(session: ClickHouseSession, layout: ClickHouseLayout) {
    this.#session = session;
    this.#words = new SchemaWords(layout);
  }

  /** Names first, then the flows, then the batches, as segments land. */
  async write(context: TenantContext, number: number, chunk: HistoryChunk): Promise<void> {
    const prepared = chunk.batches.map((batch) => prepareBatch(sentBatch(context, batch, chunk.flows.get(batch.batch_id) ?? []), rowNumbers(chunk.flows.get(batch.batch_id)), this.#contentIds));
    const token = `copy-${context.tenantId}-${number}`;
    await this.#writeEntries(context, token, number, prepared);
    // A block for each batch: edges are told apart within a batch, which has room for all of its own.
    const blocks = prepared.flatMap((batch, index) => (batch.rows.length === 0 ? [] : [flowBlock([batch], [chunk.batches[index]?.batch_id ?? '0'])]));
    if (blocks.length > 0) await this.#session.insert({ table: this.#words.local('flow_ingest'), format: 'Native', body: Buffer.concat(blocks), token, shard: number });
    await this.writeBatches(context, number, chunk);
  }

  /** The ledger's part of a chunk alone. */
  async writeBatches(context: TenantContext, number: number, { batches, flows, nodeNames }: HistoryChunk): Promise<void> {
    const rows = batches.map((batch) => ({
      tenant_id: context.tenantId, writer: HISTORY_WRITER, segment: number, batch_id: batch.batch_id, sealed_us: batch.received_us, cluster_id: batch.cluster_id,
      node_id: batch.node_id, node: flows.get(batch.batch_id)?.[0]?.node ?? nodeNames.get(batch.node_id) ?? '', rows: batch.rows, window_start_us: batch.window_start_us, window_end_us: batch.window_end_us,
      received_us: batch.received_us, seen: batch.seen, sampled: batch.sampled, loss_reasons: Object.keys(batch.losses), loss_counts: Object.values(batch.losses),
      incomplete: batch.incomplete ? 1 : 0,
    }));
    const body = Buffer.from(rows.map((row) => JSON.stringify(row)).join('\n'));
    await this.#session.insert({ table: this.#words.local('flow_batch'), format: 'JSONEachRow', body, token: `copy-${context.tenantId}-${number}-batches`, shard: number });
  }

  async #writeEntries({ tenantId }: TenantContext, token: string, shard: number, prepared: readonly PreparedBatch[]): Promise<void> {
    const tables = new Map<string, Map<string, string>>();
    for (const { table, id, entry } of prepared.flatMap(({ entries }) => entries)) {
      const key = entryKey(table, tenantId, id);
      if (this.#known.has(key)) continue;
      const own = tables.get(table) ?? new Map<string, string>();
      tables.set(table, own);
      own.set(key, JSON.stringify({ tenant_id: tenantId, id, ...entry }));
    }
    await Promise.all([...tables].map(([table, rows]) =>
      this.#session.insert({ table: this.#words.local(table), format: 'JSONEachRow', body: Buffer.from([...rows.values()].join('\n')), token: `${token}-${table}`, shard }),
    ));
    const keys = [...tables.values()].flatMap((rows) => [...rows.keys()]);
    if (this.#known.size + keys.length > KNOWN_ENTRIES) this.#known.clear();
    for (const key of keys) this.#known.add(key);
  }
}

/** Number of a flow within its batch. */
function rowOf({ id }: StoredFlow): number {
  return Number(id.split('-')[1]);
}

function rowNumbers(flows: readonly StoredFlow[] | undefined): number[] {
  return flows?.map(rowOf) ?? [];
}

/** The batch as its agent sent it, as far as it is still there: places of flows that are gone hold a neighbour, which is not taken. */
function sentBatch({ tenantId }: TenantContext, batch: HistoryBatch, flows: readonly StoredFlow[]): SentFlowBatch {
  const byRow = new Map(flows.map((flow) => [rowOf(flow), flow]));
  const places = flows.length === 0 ? 0 : Math.max(...byRow.keys()) + 1;
  const [first] = flows;
  const all = Array.from({ length: places }, (_, row) => byRow.get(row) ?? first).filter((flow) => flow !== undefined);
  const content: FlowBatch = {
    bootId: batch.boot_id, seq: Number(batch.seq), windowStartUs: Number(batch.window_start_us), windowEndUs: Number(batch.window_end_us),
    account: { seen: Number(batch.seen), exported: batch.rows, sampled: Number(batch.sampled), dropped: batch.losses }, columns: columnsOf(all),
  };
  return { sender: { tenantId: parseTenantId(tenantId), clusterId: batch.cluster_id, nodeId: batch.node_id }, batch: content };
}
