import type { FlowColumns } from './flow-columns.ts';
import {
  directionName,
  dropReasonName,
  eventName,
  originName,
  verdictName,
  type FlowEnd,
  type FlowPeer,
  type FlowRecord,
} from './flow-record.ts';

function entry<Value>(dictionary: readonly Value[], index: number): Value {
  const value = dictionary[index];
  if (value === undefined) throw new RangeError(`Dictionary index ${index} is out of range (${dictionary.length} entries).`);
  return value;
}

function end(peer: FlowPeer, port: number): FlowEnd {
  return { ...peer, port };
}

/** The flow at `row` as an object. @throws RangeError when the row is out of range */
export function flowAt(columns: FlowColumns, row: number): FlowRecord {
  if (!(row >= 0 && row < columns.rows)) throw new RangeError(`Row ${row} is out of range (${columns.rows} rows).`);
  const at = (array: ArrayLike<number>): number => array[row] ?? 0;
  const context = entry(columns.contexts, at(columns.context));
  const dropReason = dropReasonName(at(columns.dropReason));
  const shadow = at(columns.shadowVerdict);
  const policySet = at(columns.policySet);
  const rtt = at(columns.rttUs);
  const lastSeenUs = at(columns.lastSeenUs);
  return {
    event: eventName(at(columns.event)),
    source: end(entry(columns.peers, at(columns.source)), at(columns.sourcePort)),
    destination: end(entry(columns.peers, at(columns.destination)), at(columns.destinationPort)),
    protocol: at(columns.protocol),
    direction: directionName(at(columns.direction)),
    node: context.node,
    ...(context.interface === undefined ? {} : { interface: context.interface }),
    verdict: verdictName(at(columns.verdict)),
    ...(dropReason === undefined ? {} : { dropReason }),
    policies: policySet === 0 ? [] : entry(columns.policySets, policySet - 1),
    ...(shadow === 0 ? {} : { shadowVerdict: verdictName(shadow) }),
    isReply: at(columns.isReply) === 1,
    packets: at(columns.packets),
    bytes: at(columns.bytes),
    replyPackets: at(columns.replyPackets),
    replyBytes: at(columns.replyBytes),
    firstSeenUs: lastSeenUs - at(columns.durationUs),
    lastSeenUs,
    tcpFlags: at(columns.tcpFlags),
    ...(rtt === 0 ? {} : { rttUs: rtt }),
    ...layers(columns, row),
    generation: context.generation,
    policyRevision: context.policyRevision,
    identityRevision: context.identityRevision,
    origin: originName(context.origin),
    weight: at(columns.weight),
  };
}

function layers(columns: FlowColumns, row: number): Pick<FlowRecord, 'process' | 'http' | 'dns'> {
  const process = columns.process[row] ?? 0;
  const http = columns.http[row] ?? 0;
  const dns = columns.dns[row] ?? 0;
  const status = columns.httpStatus[row] ?? 0;
  const latencyUs = columns.latencyUs[row] ?? 0;
  const latency = latencyUs === 0 ? {} : { latencyUs };
  return {
    ...(process === 0 ? {} : { process: entry(columns.processes, process - 1) }),
    ...(http === 0 ? {} : { http: { ...entry(columns.httpRequests, http - 1), ...(status === 0 ? {} : { status }), ...latency } }),
    ...(dns === 0 ? {} : { dns: { ...entry(columns.dnsAnswers, dns - 1), ...latency } }),
  };
}
