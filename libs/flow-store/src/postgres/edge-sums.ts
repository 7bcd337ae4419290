import { FLOW_DIRECTION, FLOW_EVENT, LATENCY_BUCKETS, latencyBucket, VERDICT, type FlowColumns } from '@palisade/flow';
import { finished, FoldedEdges, mixed, textHash } from '../folded-edges.ts';

/** What a batch's indexes mean in the store. */
export interface EdgeSource {
  readonly clusterId: string;
  readonly columns: FlowColumns;
  /** Peer index → id of its party (the peer without address). */
  readonly parties: Int32Array;
  readonly policySets: Int32Array;
}

/** Fields of a part's key, in the order in which `EdgeSums` keeps them. */
export const EDGE_KEY = { minute: 0, cluster: 1, source: 2, destination: 3, port: 4, protocol: 5, verdict: 6, dropReason: 7, policySet: 8 } as const;
const KEYS = 9;
/** Sums of a part. */
export const EDGE_SUM = { flows: 0, packets: 1, bytes: 2, replyPackets: 3, replyBytes: 4, httpRequests: 5, httpErrors: 6 } as const;
const SUMS = 7;

const MINUTE_US = 60_000_000;
const SERVER_ERROR = 500;
const FIRST_ROOM = 1024;

/**
 * Whether the row begins a connection. Both ends report the beginning; it counts at the source, or where only the
 * destination is ours.
 */
function begins(columns: FlowColumns, row: number, event: number): boolean {
  if (event !== FLOW_EVENT.new) return event === FLOW_EVENT.dropped;
  if (columns.direction[row] === FLOW_DIRECTION.egress) return true;
  return columns.peers[columns.source[row] ?? 0]?.workload === undefined;
}

/** Events whose counters count. `new` tells of packets that the first delta tells of again. */
function counts(event: number): boolean {
  return event === FLOW_EVENT.delta || event === FLOW_EVENT.closed || event === FLOW_EVENT.dropped;
}

/**
 * Sums up the flows of one commit and tenant by edge and minute, in a hash table of plain numbers. Past the cap, ends fold
 * into `other`: counted, not told apart.
 */
export class EdgeSums {
  readonly #cap: number;
  readonly #otherId: number;
  readonly #tenantHash: number;
  readonly #clusters: string[] = [];
  readonly #clusterHashes: number[] = [];
  readonly #latencies = new Map<number, number[]>();
  /** Part + 1 by hash; 0: free. Never more than half full. */
  #slots = new Int32Array(FIRST_ROOM * 2);
  #keys = new Int32Array(FIRST_ROOM * KEYS);
  #sums = new Float64Array(FIRST_ROOM * SUMS);
  #length = 0;
  #folded: FoldedEdges | undefined;
  readonly #key = new Int32Array(KEYS);

  /** @param otherId party id that stands for everything beyond the cap */
  constructor(tenantId: string, cap: number, otherId: number) {
    this.#tenantHash = textHash(tenantId);
    this.#cap = cap;
    this.#otherId = otherId;
  }

  /** Parts so far; each is a number below. */
  get length(): number {
    return this.#length;
  }

  /** What was folded; undefined where nothing was. */
  get folded(): FoldedEdges | undefined {
    return this.#folded;
  }

  key(part: number, field: keyof typeof EDGE_KEY): number {
    return this.#keys[part * KEYS + EDGE_KEY[field]] ?? 0;
  }

  sum(part: number, field: keyof typeof EDGE_SUM): number {
    return this.#sums[part * SUMS + EDGE_SUM[field]] ?? 0;
  }

  clusterId(part: number): string {
    return this.#clusters[this.key(part, 'cluster')] ?? '';
  }

  /** Requests by latency; undefined where none was measured. */
  latency(part: number): readonly number[] | undefined {
    return this.#latencies.get(part);
  }

  /** @param rows absent: all of the batch */
  add(source: EdgeSource, rows?: Uint16Array): void {
    const count = rows?.length ?? source.columns.rows;
    const cluster = this.#cluster(source.clusterId);
    for (let index = 0; index < count; index++) this.#addRow(source, cluster, rows === undefined ? index : (rows[index] ?? 0));
  }

  #cluster(id: string): number {
    const known = this.#clusters.indexOf(id);
    if (known >= 0) return known;
    this.#clusterHashes.push(mixed(this.#tenantHash, textHash(id)));
    return this.#clusters.push(id) - 1;
  }

  #addRow(source: EdgeSource, cluster: number, row: number): void {
    const { columns } = source;
    const event = columns.event[row] ?? 0;
    const http = (columns.http[row] ?? 0) > 0;
    const counted = counts(event);
    const began = begins(columns, row, event);
    if (!http && !counted && !began) return;
    const weight = columns.weight[row] ?? 0;
    this.#readKey(source, cluster, row);
    const part = this.#part();
    const sums = this.#sums;
    const at = part * SUMS;
    if (began) add(sums, at + EDGE_SUM.flows, weight);
    if (counted) {
      add(sums, at + EDGE_SUM.packets, (columns.packets[row] ?? 0) * weight);
      add(sums, at + EDGE_SUM.bytes, (columns.bytes[row] ?? 0) * weight);
      add(sums, at + EDGE_SUM.replyPackets, (columns.replyPackets[row] ?? 0) * weight);
      add(sums, at + EDGE_SUM.replyBytes, (columns.replyBytes[row] ?? 0) * weight);
    }
    if (http) this.#addHttp(part, columns.httpStatus[row] ?? 0, columns.latencyUs[row] ?? 0, weight);
  }

  #readKey({ columns, parties, policySets }: EdgeSource, cluster: number, row: number): void {
    const key = this.#key;
    const verdict = columns.verdict[row] ?? 0;
    const set = columns.policySet[row] ?? 0;
    key[EDGE_KEY.minute] = Math.floor((columns.lastSeenUs[row] ?? 0) / MINUTE_US);
    key[EDGE_KEY.cluster] = cluster;
    key[EDGE_KEY.source] = parties[columns.source[row] ?? 0] ?? 0;
    key[EDGE_KEY.destination] = parties[columns.destination[row] ?? 0] ?? 0;
    key[EDGE_KEY.port] = columns.destinationPort[row] ?? 0;
    key[EDGE_KEY.protocol] = columns.protocol[row] ?? 0;
    key[EDGE_KEY.verdict] = verdict;
    key[EDGE_KEY.dropReason] = columns.dropReason[row] ?? 0;
    // Only where something was denied.
    key[EDGE_KEY.policySet] = verdict === VERDICT.forwarded || set === 0 ? 0 : (policySets[set - 1] ?? 0);
  }

  /** The part of `#key`, made where there is none. */
  #part(): number {
    const slot = this.#slot();
    const found = this.#slots[slot] ?? 0;
    if (found > 0) return found - 1;
    if (this.#length < this.#cap) return this.#make(slot);
    const key = this.#key;
    this.#folded ??= new FoldedEdges();
    this.#folded.add(this.#edgeHash());
    key[EDGE_KEY.source] = this.#otherId;
    key[EDGE_KEY.destination] = this.#otherId;
    key[EDGE_KEY.port] = 0;
    key[EDGE_KEY.policySet] = 0;
    const folded = this.#slot();
    const other = this.#slots[folded] ?? 0;
    return other > 0 ? other - 1 : this.#make(folded);
  }

  #edgeHash(): number {
    const cluster = this.#clusterHashes[this.#key[EDGE_KEY.cluster] ?? 0] ?? 0;
    return finished([EDGE_KEY.source, EDGE_KEY.destination, EDGE_KEY.port].reduce((hash, field) => mixed(hash, this.#key[field] ?? 0), cluster));
  }

  /** Where `#key` is in the table, or the free place where it belongs (linear probing). */
  #slot(): number {
    const keys = this.#keys;
    const key = this.#key;
    const mask = this.#slots.length - 1;
    let hash = 0;
    for (let field = 0; field < KEYS; field++) hash = Math.imul(hash ^ (key[field] ?? 0), 0x9e3779b1) ^ (hash >>> 15);
    for (let slot = (hash ^ (hash >>> 16)) & mask; ; slot = (slot + 1) & mask) {
      const part = (this.#slots[slot] ?? 0) - 1;
      if (part < 0) return slot;
      const at = part * KEYS;
      let field = 0;
      while (field < KEYS && keys[at + field] === key[field]) field++;
      if (field === KEYS) return slot;
    }
  }

  #make(slot: number): number {
    const part = this.#length++;
    this.#keys.set(this.#key, part * KEYS);
    this.#slots[slot] = part + 1;
    if (this.#length * KEYS === this.#keys.length) this.#grow();
    return part;
  }

  #grow(): void {
    this.#keys = grown(this.#keys, new Int32Array(this.#keys.length * 2));
    this.#sums = grown(this.#sums, new Float64Array(this.#sums.length * 2));
    this.#slots = new Int32Array(this.#slots.length * 2);
    const current = this.#key.slice();
    for (let part = 0; part < this.#length; part++) {
      this.#key.set(this.#keys.subarray(part * KEYS, part * KEYS + KEYS));
      this.#slots[this.#slot()] = part + 1;
    }
    this.#key.set(current);
  }

  #addHttp(part: number, status: number, latencyUs: number, weight: number): void {
    add(this.#sums, part * SUMS + EDGE_SUM.httpRequests, weight);
    if (status >= SERVER_ERROR) add(this.#sums, part * SUMS + EDGE_SUM.httpErrors, weight);
    if (latencyUs === 0) return;
    let buckets = this.#latencies.get(part);
    if (buckets === undefined) this.#latencies.set(part, (buckets = new Array<number>(LATENCY_BUCKETS).fill(0)));
    const bucket = latencyBucket(latencyUs);
    buckets[bucket] = (buckets[bucket] ?? 0) + weight;
  }
}

function add(sums: Float64Array, at: number, value: number): void {
  sums[at] = (sums[at] ?? 0) + value;
}

function grown<Values extends Int32Array | Float64Array>(from: Values, to: Values): Values {
  to.set(from);
  return to;
}
