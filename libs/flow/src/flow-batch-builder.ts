import {
  allocateColumns,
  FLOW_COLUMN_NAMES,
  MAX_BATCH_ROWS,
  MAX_TIME_US,
  type FlowColumnArrays,
  type FlowColumns,
  type FlowContext,
  type FlowDnsAnswer,
  type FlowHttpRequest,
} from './flow-columns.ts';
import {
  DROP_REASON,
  FLOW_DIRECTION,
  FLOW_EVENT,
  FLOW_SOURCE,
  VERDICT,
  type FlowEnd,
  type FlowPeer,
  type FlowPolicy,
  type FlowProcess,
  type FlowRecord,
} from './flow-record.ts';

/** Values in order of first use; equal content gets one index. */
class Dictionary<Value extends object> {
  readonly values: Value[] = [];
  readonly #byReference = new Map<object, number>();
  readonly #byContent = new Map<string, number>();

  /** @param source the caller's object: enrichment hands out the same one for the same thing, which spares building the key */
  index(source: object, take: () => Value): number {
    const known = this.#byReference.get(source);
    if (known !== undefined) return known;
    const value = take();
    const content = JSON.stringify(value);
    let index = this.#byContent.get(content);
    if (index === undefined) {
      index = this.values.push(value) - 1;
      this.#byContent.set(content, index);
    }
    this.#byReference.set(source, index);
    return index;
  }
}

/** Keys in one order and absent keys left out, so that equal content has equal JSON. */
function peerOf(end: FlowPeer): FlowPeer {
  return {
    address: end.address,
    identity: end.identity,
    labels: end.labels,
    ...(end.namespace === undefined ? {} : { namespace: end.namespace }),
    ...(end.workload === undefined ? {} : { workload: end.workload }),
    ...(end.cluster === undefined ? {} : { cluster: end.cluster }),
    ...(end.node === undefined ? {} : { node: end.node }),
    ...(end.dnsNames === undefined ? {} : { dnsNames: end.dnsNames }),
  };
}

/** Whole numbers from 0 to `limit`: a clock step or a kernel bug must not make a batch undecodable. */
function clamp(value: number | undefined, limit: number): number {
  if (value === undefined || !(value > 0)) return 0;
  return Math.min(Math.trunc(value), limit);
}

const U8 = 0xff;
const U16 = 0xffff;
const U32 = 0xffff_ffff;

/** Collects up to `MAX_BATCH_ROWS` flows as columns. */
export class FlowBatchBuilder {
  readonly #capacity: number;
  readonly #arrays: FlowColumnArrays;
  #rows = 0;
  readonly #peers = new Dictionary<FlowPeer>();
  readonly #contexts = new Dictionary<FlowContext>();
  readonly #policySets = new Dictionary<readonly FlowPolicy[]>();
  readonly #processes = new Dictionary<FlowProcess>();
  readonly #http = new Dictionary<FlowHttpRequest>();
  readonly #dns = new Dictionary<FlowDnsAnswer>();
  readonly #contextCache = new Map<string, FlowContext>();

  constructor(capacity: number = MAX_BATCH_ROWS) {
    this.#capacity = capacity;
    this.#arrays = allocateColumns(capacity);
  }

  get rows(): number {
    return this.#rows;
  }

  get full(): boolean {
    return this.#rows >= this.#capacity;
  }

  /** @throws RangeError when the builder is full (a programming error: ask `full` first) */
  add(flow: FlowRecord): void {
    if (this.full) throw new RangeError('The batch is full: finish it before adding another flow.');
    const row = this.#rows++;
    const columns = this.#arrays;
    columns.event[row] = FLOW_EVENT[flow.event];
    columns.source[row] = this.#peer(flow.source);
    columns.destination[row] = this.#peer(flow.destination);
    columns.sourcePort[row] = clamp(flow.source.port, U16);
    columns.destinationPort[row] = clamp(flow.destination.port, U16);
    columns.protocol[row] = clamp(flow.protocol, U8);
    columns.direction[row] = FLOW_DIRECTION[flow.direction];
    columns.context[row] = this.#context(flow);
    columns.verdict[row] = VERDICT[flow.verdict];
    columns.dropReason[row] = flow.dropReason === undefined ? 0 : DROP_REASON[flow.dropReason];
    columns.policySet[row] = flow.policies.length === 0 ? 0 : this.#policySets.index(flow.policies, () => flow.policies) + 1;
    columns.shadowVerdict[row] = flow.shadowVerdict === undefined ? 0 : VERDICT[flow.shadowVerdict];
    columns.isReply[row] = flow.isReply ? 1 : 0;
    this.#counters(row, flow);
    this.#layers(row, flow);
  }

  #counters(row: number, flow: FlowRecord): void {
    const columns = this.#arrays;
    const limit = Number.MAX_SAFE_INTEGER;
    columns.packets[row] = clamp(flow.packets, limit);
    columns.bytes[row] = clamp(flow.bytes, limit);
    columns.replyPackets[row] = clamp(flow.replyPackets, limit);
    columns.replyBytes[row] = clamp(flow.replyBytes, limit);
    columns.durationUs[row] = clamp(flow.lastSeenUs - flow.firstSeenUs, limit);
    columns.lastSeenUs[row] = clamp(flow.lastSeenUs, MAX_TIME_US);
    columns.tcpFlags[row] = clamp(flow.tcpFlags, U16);
    columns.rttUs[row] = clamp(flow.rttUs, U32);
    columns.weight[row] = Math.max(1, clamp(flow.weight, U32));
  }

  #layers(row: number, flow: FlowRecord): void {
    const columns = this.#arrays;
    const { process, http, dns } = flow;
    if (process !== undefined) columns.process[row] = this.#processes.index(process, () => process) + 1;
    if (http !== undefined) {
      columns.http[row] = this.#http.index(http, () => ({ method: http.method, path: http.path })) + 1;
      columns.httpStatus[row] = clamp(http.status, U16);
      columns.latencyUs[row] = clamp(http.latencyUs, U32);
    }
    if (dns !== undefined) {
      columns.dns[row] = this.#dns.index(dns, () => ({ query: dns.query, addresses: dns.addresses, rcode: dns.rcode })) + 1;
      columns.latencyUs[row] = clamp(dns.latencyUs, U32);
    }
  }

  #peer(end: FlowEnd): number {
    return this.#peers.index(end, () => peerOf(end));
  }

  #context(flow: FlowRecord): number {
    const key = `${flow.node}\n${flow.interface ?? ''}\n${flow.generation}\n${flow.policyRevision}\n${flow.identityRevision}\n${flow.origin}`;
    let context = this.#contextCache.get(key);
    if (context === undefined) {
      context = {
        node: flow.node,
        ...(flow.interface === undefined ? {} : { interface: flow.interface }),
        generation: flow.generation,
        policyRevision: flow.policyRevision,
        identityRevision: flow.identityRevision,
        origin: FLOW_SOURCE[flow.origin],
      };
      this.#contextCache.set(key, context);
    }
    const value = context;
    return this.#contexts.index(value, () => value);
  }

  /** The flows so far. The builder must not be used afterwards: its arrays are handed over. */
  finish(): FlowColumns {
    const arrays = Object.fromEntries(FLOW_COLUMN_NAMES.map((name) => [name, this.#arrays[name].subarray(0, this.#rows)]));
    return {
      ...(arrays as unknown as FlowColumnArrays),
      rows: this.#rows,
      peers: this.#peers.values,
      contexts: this.#contexts.values,
      policySets: this.#policySets.values,
      processes: this.#processes.values,
      httpRequests: this.#http.values,
      dnsAnswers: this.#dns.values,
    };
  }
}

/** Columns of the given flows; at most `MAX_BATCH_ROWS`. */
export function columnsOf(flows: readonly FlowRecord[]): FlowColumns {
  const builder = new FlowBatchBuilder(Math.max(1, flows.length));
  for (const flow of flows) builder.add(flow);
  return builder.finish();
}
