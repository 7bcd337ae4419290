import { FLOW_DIRECTION, FLOW_EVENT, LATENCY_BUCKETS, latencyBucket, VERDICT, type FlowColumns } from '@palisade/flow';

/** One part of a minute's sums, as it is inserted into `palisade.flow_edge_minute`. */
export interface EdgePart {
  readonly bucketUs: number;
  readonly clusterId: string;
  readonly sourceId: number;
  readonly destinationId: number;
  readonly port: number;
  readonly protocol: number;
  readonly verdict: number;
  readonly dropReason: number;
  /** 0: none. Only where something was denied. */
  readonly policySetId: number;
  flows: number;
  packets: number;
  bytes: number;
  replyPackets: number;
  replyBytes: number;
  httpRequests: number;
  httpErrors: number;
  httpLatency: number[] | undefined;
}

/** What a batch's indexes mean in the store. */
export interface EdgeSource {
  readonly clusterId: string;
  readonly columns: FlowColumns;
  /** Peer index → id of its party (the peer without address). */
  readonly parties: Int32Array;
  readonly policySets: Int32Array;
}

const MINUTE_US = 60_000_000;
const SERVER_ERROR = 500;

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

/** Sums up the flows of one commit by edge and minute. Past the cap, ends fold into `other`: counted, not told apart. */
export class EdgeSums {
  readonly #parts = new Map<string, EdgePart>();
  readonly #cap: number;
  readonly #otherId: number;

  /** @param otherId party id that stands for everything beyond the cap */
  constructor(cap: number, otherId: number) {
    this.#cap = cap;
    this.#otherId = otherId;
  }

  get parts(): readonly EdgePart[] {
    return [...this.#parts.values()];
  }

  add(source: EdgeSource, rows: readonly number[]): void {
    const near = new NearParts(source.columns);
    for (const row of rows) this.#addRow(source, row, near);
  }

  #addRow(source: EdgeSource, row: number, near: NearParts): void {
    const { columns } = source;
    const at = (array: ArrayLike<number>): number => array[row] ?? 0;
    const weight = at(columns.weight);
    const http = at(columns.http) > 0;
    const counted = counts(columns.event[row]);
    const began = begins(columns, row);
    if (!http && !counted && !began) return;
    const key = near.key(row);
    const part = near.get(key) ?? near.set(key, this.#part(source, row));
    if (began) part.flows += weight;
    if (counted) {
      part.packets += at(columns.packets) * weight;
      part.bytes += at(columns.bytes) * weight;
      part.replyPackets += at(columns.replyPackets) * weight;
      part.replyBytes += at(columns.replyBytes) * weight;
    }
    if (http) addHttp(part, at(columns.httpStatus), at(columns.latencyUs), weight);
  }

  #part({ clusterId, columns, parties, policySets }: EdgeSource, row: number): EdgePart {
    const at = (array: ArrayLike<number>): number => array[row] ?? 0;
    const verdict = at(columns.verdict);
    const bucketUs = Math.floor(at(columns.lastSeenUs) / MINUTE_US) * MINUTE_US;
    const set = at(columns.policySet);
    const key = {
      bucketUs, clusterId, sourceId: parties[at(columns.source)] ?? 0, destinationId: parties[at(columns.destination)] ?? 0,
      port: at(columns.destinationPort), protocol: at(columns.protocol), verdict, dropReason: at(columns.dropReason),
      policySetId: verdict === VERDICT.forwarded || set === 0 ? 0 : (policySets[set - 1] ?? 0),
    };
    return this.#find(key) ?? this.#make(this.#parts.size < this.#cap ? key : { ...key, sourceId: this.#otherId, destinationId: this.#otherId, port: 0, policySetId: 0 });
  }

  #find(key: EdgeKey): EdgePart | undefined {
    return this.#parts.get(keyText(key));
  }

  #make(key: EdgeKey): EdgePart {
    const known = this.#find(key);
    if (known !== undefined) return known;
    const part: EdgePart = { ...key, flows: 0, packets: 0, bytes: 0, replyPackets: 0, replyBytes: 0, httpRequests: 0, httpErrors: 0, httpLatency: undefined };
    this.#parts.set(keyText(key), part);
    return part;
  }
}

const MINUTES_NEAR = 8;
const MAX_PEERS_NEAR = 8_192;

/**
 * Parts that the batch at hand has used, by one number instead of a text: nearly every row is plain forwarding between few
 * peers within a minute or two. What does not fit has no key and is looked up by its text.
 */
class NearParts {
  readonly #columns: FlowColumns;
  readonly #firstMinute: number;
  readonly #parts = new Map<number, EdgePart>();

  constructor(columns: FlowColumns) {
    this.#columns = columns;
    this.#firstMinute = Math.floor((columns.lastSeenUs[0] ?? 0) / MINUTE_US) - 1;
  }

  key(row: number): number | undefined {
    const c = this.#columns;
    const peers = c.peers.length;
    const minute = Math.floor((c.lastSeenUs[row] ?? 0) / MINUTE_US) - this.#firstMinute;
    if (c.verdict[row] !== VERDICT.forwarded || c.dropReason[row] !== 0 || minute < 0 || minute >= MINUTES_NEAR || peers > MAX_PEERS_NEAR) return undefined;
    const ends = (c.source[row] ?? 0) * peers + (c.destination[row] ?? 0);
    return ((ends * 65_536 + (c.destinationPort[row] ?? 0)) * 256 + (c.protocol[row] ?? 0)) * MINUTES_NEAR + minute;
  }

  get(key: number | undefined): EdgePart | undefined {
    return key === undefined ? undefined : this.#parts.get(key);
  }

  set(key: number | undefined, part: EdgePart): EdgePart {
    if (key !== undefined) this.#parts.set(key, part);
    return part;
  }
}

type EdgeKey = Pick<EdgePart, 'bucketUs' | 'clusterId' | 'sourceId' | 'destinationId' | 'port' | 'protocol' | 'verdict' | 'dropReason' | 'policySetId'>;

function keyText(key: EdgeKey): string {
  return `${key.sourceId} ${key.destinationId} ${key.port} ${key.protocol} ${key.verdict} ${key.dropReason} ${key.policySetId} ${key.bucketUs} ${key.clusterId}`;
}

function addHttp(part: EdgePart, status: number, latencyUs: number, weight: number): void {
  part.httpRequests += weight;
  if (status >= SERVER_ERROR) part.httpErrors += weight;
  if (latencyUs === 0) return;
  part.httpLatency ??= new Array<number>(LATENCY_BUCKETS).fill(0);
  const bucket = latencyBucket(latencyUs);
  part.httpLatency[bucket] = (part.httpLatency[bucket] ?? 0) + weight;
}
