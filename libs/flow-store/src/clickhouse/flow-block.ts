import { FLOW_DIRECTION, FLOW_EVENT, latencyBucket, OTHER_PARTY, VERDICT, type FlowColumns } from '@palisade/flow';
import type { SentFlowBatch } from '@palisade/control';
import { finished, textHash, type FoldedEdges } from '../folded-edges.ts';
import { batchEntries, ContentIds, idLayout, partyEntry, type NamedEntry } from './content-id.ts';
import { nativeBlock, NumberColumn, uuidLayout } from './native-block.ts';
import { DICTIONARY_TABLES, type DictionaryTable } from './schema/dictionary-tables.ts';
import { INGEST_COLUMNS_SQL, type IngestColumn } from './schema/flow-tables.ts';

/** A batch with everything that rows need, made once: which rows are kept, and the ids of its dictionaries' entries. */
export interface PreparedBatch {
  readonly sent: SentFlowBatch;
  /** Rows that are kept, in order. */
  readonly rows: readonly number[];
  readonly ids: Readonly<Record<DictionaryTable, Buffer>>;
  /** Ids of the parties of the batch's peers. */
  readonly parties: Buffer;
  readonly entries: readonly NamedEntry[];
}

export function prepareBatch(sent: SentFlowBatch, rows: readonly number[], contentIds: ContentIds): PreparedBatch {
  const own = batchEntries(sent.sender, sent.batch.columns);
  const entries: NamedEntry[] = [];
  const name = (table: DictionaryTable, list: readonly NamedEntry['entry'][]): Buffer => {
    const named = list.map((entry) => ({ table, id: contentIds.of(table, entry), entry }));
    entries.push(...named);
    return idLayout(named.map(({ id }) => id));
  };
  const ids = Object.fromEntries(DICTIONARY_TABLES.map((table) => [table, name(table, own[table])])) as Record<DictionaryTable, Buffer>;
  // The last one stands for the parties beyond the cap.
  const parties = name('flow_peer', [...sent.batch.columns.peers, OTHER_PARTY].map(partyEntry));
  return { sent, rows, ids, parties, entries };
}

const NONE = Buffer.alloc(8);
const ID_BYTES = 8;
/** Distinct edges of one tenant in one commit; what is beyond folds into `other`: counted, not told apart. */
export const EDGE_CAP = 10_000;

const TOLD = -1;

/** Which edges of a tenant one commit tells apart. */
class EdgesTold {
  readonly #told = new Set<string>();

  /** `TOLD` where the edge is one of those told apart, otherwise its hash. */
  look(key: string): number {
    if (this.#told.has(key)) return TOLD;
    if (this.#told.size >= EDGE_CAP) return finished(textHash(key));
    this.#told.add(key);
    return TOLD;
  }
}

type Columns = Readonly<Record<IngestColumn, NumberColumn>>;
const COLUMN_NAMES = Object.keys(INGEST_COLUMNS_SQL) as readonly IngestColumn[];

/**
 * Rows of the given batches as one block of `flow_ingest`.
 * @param batchIds ids of the batches, in the same order
 * @param folded is told of flows whose edge is summed up as `other`
 */
export function flowBlock(batches: readonly PreparedBatch[], batchIds: readonly string[], folded?: FoldedEdges): Buffer {
  const rows = batches.reduce((sum, batch) => sum + batch.rows.length, 0);
  const columns = Object.fromEntries(COLUMN_NAMES.map((name) => [name, new NumberColumn(INGEST_COLUMNS_SQL[name], rows)])) as unknown as Columns;
  const told = new Map<string, EdgesTold>();
  for (const [index, batch] of batches.entries()) {
    const { tenantId } = batch.sent.sender;
    const edges = told.get(tenantId) ?? new EdgesTold();
    told.set(tenantId, edges);
    appendBatch(columns, batch, batchIds[index] ?? '0', edges, folded);
  }
  return nativeBlock(rows, COLUMN_NAMES.map((name) => ({ name, type: INGEST_COLUMNS_SQL[name], values: columns[name].values() })));
}

function appendBatch(out: Columns, { sent, rows, ids, parties }: PreparedBatch, batchId: string, told: EdgesTold, foldedEdges: FoldedEdges | undefined): void {
  const { columns } = sent.batch;
  const tenant = uuidLayout(sent.sender.tenantId);
  const cluster = uuidLayout(sent.sender.clusterId);
  const batch = idLayout([batchId]);
  const edges = new BatchEdges(columns, told, `${sent.sender.tenantId} ${sent.sender.clusterId}`);
  const id = (column: NumberColumn, of: Buffer, index: number): void => column.raw(of, index * ID_BYTES, ID_BYTES);
  const optionalId = (column: NumberColumn, of: Buffer, value: number): void => (value === 0 ? column.raw(NONE, 0, ID_BYTES) : id(column, of, value - 1));
  for (const row of rows) {
    const at = (array: ArrayLike<number>): number => array[row] ?? 0;
    const context = at(columns.context);
    const process = at(columns.process);
    const set = at(columns.policySet);
    out.tenant_id.raw(tenant, 0, 16);
    out.cluster_id.raw(cluster, 0, 16);
    out.batch_id.raw(batch, 0, ID_BYTES);
    out.row.number(row);
    id(out.source_id, ids.flow_peer, at(columns.source));
    id(out.destination_id, ids.flow_peer, at(columns.destination));
    id(out.observer_id, ids.flow_observer, context);
    id(out.stamp_id, ids.flow_stamp, context);
    optionalId(out.policy_set_id, ids.flow_policy_set, set);
    optionalId(out.process_id, ids.flow_process, process);
    optionalId(out.http_id, ids.flow_http, at(columns.http));
    optionalId(out.dns_id, ids.flow_dns, at(columns.dns));
    out.pid.number(process === 0 ? 0 : (columns.processes[process - 1]?.pid ?? 0));
    appendNumbers(out, columns, row);
    const edge = edges.look(row);
    const folded = edge !== TOLD;
    if (folded && isSummed(columns, row)) foldedEdges?.add(edge);
    id(out.edge_source_id, parties, folded ? columns.peers.length : at(columns.source));
    id(out.edge_destination_id, parties, folded ? columns.peers.length : at(columns.destination));
    optionalId(out.edge_policy_set_id, ids.flow_policy_set, folded || at(columns.verdict) === VERDICT.forwarded ? 0 : set);
    out.edge_port.number(folded ? 0 : at(columns.destinationPort));
  }
}

function appendNumbers(out: Columns, columns: FlowColumns, row: number): void {
  const at = (array: ArrayLike<number>): number => array[row] ?? 0;
  out.last_seen_us.number(at(columns.lastSeenUs));
  out.packets.number(at(columns.packets));
  out.bytes.number(at(columns.bytes));
  out.reply_packets.number(at(columns.replyPackets));
  out.reply_bytes.number(at(columns.replyBytes));
  out.duration_us.number(at(columns.durationUs));
  out.rtt_us.number(at(columns.rttUs));
  out.latency_us.number(at(columns.latencyUs));
  out.weight.number(at(columns.weight));
  out.source_port.number(at(columns.sourcePort));
  out.destination_port.number(at(columns.destinationPort));
  out.tcp_flags.number(at(columns.tcpFlags));
  out.http_status.number(at(columns.httpStatus));
  out.protocol.number(at(columns.protocol));
  out.event.number(at(columns.event));
  out.direction.number(at(columns.direction));
  out.verdict.number(at(columns.verdict));
  out.drop_reason.number(at(columns.dropReason));
  out.shadow_verdict.number(at(columns.shadowVerdict));
  out.is_reply.number(at(columns.isReply));
  out.begins.number(begins(columns, row) ? 1 : 0);
  out.counts.number(counts(columns.event[row]) ? 1 : 0);
  out.latency_bucket.number(at(columns.http) > 0 && at(columns.latencyUs) > 0 ? latencyBucket(at(columns.latencyUs)) + 1 : 0);
}

/** Whether the row begins a connection. Both ends report the beginning; it counts at the source, or where only the destination is ours. */
function begins(columns: FlowColumns, row: number): boolean {
  if (columns.event[row] !== FLOW_EVENT.new) return columns.event[row] === FLOW_EVENT.dropped;
  const source = columns.peers[columns.source[row] ?? 0];
  return columns.direction[row] === FLOW_DIRECTION.egress || source?.workload === undefined;
}

/** Rows whose counters count. `new` tells of packets that the first delta tells of again. */
function counts(event: number | undefined): boolean {
  return event === FLOW_EVENT.delta || event === FLOW_EVENT.closed || event === FLOW_EVENT.dropped;
}

/** Whether the views over edges take the row. */
function isSummed(columns: FlowColumns, row: number): boolean {
  return begins(columns, row) || counts(columns.event[row]) || (columns.http[row] ?? 0) > 0;
}

const MAX_PEERS_NEAR = 8_192;

/** Edges of one batch: pairs of its peers that were looked up already are known by one number. */
class BatchEdges {
  readonly #columns: FlowColumns;
  readonly #told: EdgesTold;
  /** Tenant and cluster. */
  readonly #cluster: string;
  readonly #near = new Map<number, number>();

  constructor(columns: FlowColumns, told: EdgesTold, cluster: string) {
    this.#columns = columns;
    this.#told = told;
    this.#cluster = cluster;
  }

  /** As `EdgesTold.look`. */
  look(row: number): number {
    const c = this.#columns;
    const source = c.source[row] ?? 0;
    const destination = c.destination[row] ?? 0;
    const port = c.destinationPort[row] ?? 0;
    if (c.peers.length > MAX_PEERS_NEAR) return this.#look(source, destination, port);
    const key = (source * c.peers.length + destination) * 65_536 + port;
    const known = this.#near.get(key);
    if (known !== undefined) return known;
    const looked = this.#look(source, destination, port);
    this.#near.set(key, looked);
    return looked;
  }

  #look(source: number, destination: number, port: number): number {
    const name = (index: number): string => JSON.stringify(partyEntry(this.#columns.peers[index] ?? OTHER_PARTY));
    return this.#told.look(`${this.#cluster} ${name(source)} ${name(destination)} ${port}`);
  }
}
