import type { FlowColumns } from '@palisade/flow';
import { CopyBuffer } from './copy-buffer.ts';
import type { DictionaryName } from './flow-tables.ts';

/** Columns of `palisade.flow` in the order in which `appendRows` writes them. */
export const FLOW_COPY_COLUMNS = [
  'tenant_id', 'last_seen', 'batch_id', 'packets', 'bytes', 'reply_packets', 'reply_bytes', 'duration_us', 'source_id', 'destination_id',
  'observer_id', 'stamp_id', 'policy_set_id', 'process_id', 'pid', 'http_id', 'dns_id', 'rtt_us', 'latency_us', 'weight', 'source_port',
  'destination_port', '"row"', 'protocol', 'event', 'direction', 'verdict', 'drop_reason', 'shadow_verdict', 'tcp_flags', 'http_status', 'is_reply',
] as const;

const ROW_ROOM = FLOW_COPY_COLUMNS.length * 12 + 16;
const INT2 = 0x7fff;
const INT4 = 0x7fff_ffff;

export type DictionaryIds = Readonly<Record<DictionaryName, Int32Array>>;

export interface CopySource {
  readonly tenant: Uint8Array;
  readonly batchId: number;
  readonly columns: FlowColumns;
  readonly ids: DictionaryIds;
}

/** NULL stands for zero (see the migration). */
function int4OrAbsent(copy: CopyBuffer, value: number): void {
  if (value === 0) copy.absent();
  else copy.int4(value > INT4 ? INT4 : value);
}

function int8OrAbsent(copy: CopyBuffer, value: number): void {
  if (value === 0) copy.absent();
  else copy.int8(value);
}

function int2OrAbsent(copy: CopyBuffer, value: number): void {
  if (value === 0) copy.absent();
  else copy.int2(value > INT2 ? INT2 : value);
}

/** The id of an optional dictionary value: its column is 0 where absent, else index plus one. */
function optionalId(copy: CopyBuffer, value: number, ids: Int32Array): void {
  if (value === 0) copy.absent();
  else copy.int4(ids[value - 1] ?? 0);
}

/** Appends one row of `source` to a COPY of `FLOW_COPY_COLUMNS`. */
export function appendRow(copy: CopyBuffer, { tenant, batchId, columns, ids }: CopySource, row: number): void {
  const at = (array: ArrayLike<number>): number => array[row] ?? 0;
  const context = at(columns.context);
  const process = at(columns.process);
  const weight = at(columns.weight);
  copy.row(FLOW_COPY_COLUMNS.length, ROW_ROOM);
  copy.raw(tenant);
  copy.timestamp(at(columns.lastSeenUs));
  copy.int8(batchId);
  copy.int8(at(columns.packets));
  copy.int8(at(columns.bytes));
  int8OrAbsent(copy, at(columns.replyPackets));
  int8OrAbsent(copy, at(columns.replyBytes));
  int8OrAbsent(copy, at(columns.durationUs));
  copy.int4(ids.peers[at(columns.source)] ?? 0);
  copy.int4(ids.peers[at(columns.destination)] ?? 0);
  copy.int4(ids.observers[context] ?? 0);
  copy.int4(ids.stamps[context] ?? 0);
  optionalId(copy, at(columns.policySet), ids.policySets);
  optionalId(copy, process, ids.processes);
  int4OrAbsent(copy, process === 0 ? 0 : (columns.processes[process - 1]?.pid ?? 0));
  optionalId(copy, at(columns.http), ids.httpRequests);
  optionalId(copy, at(columns.dns), ids.dnsAnswers);
  int4OrAbsent(copy, at(columns.rttUs));
  int4OrAbsent(copy, at(columns.latencyUs));
  int4OrAbsent(copy, weight === 1 ? 0 : weight);
  copy.int4(at(columns.sourcePort));
  copy.int4(at(columns.destinationPort));
  copy.int2(row);
  copy.int2(at(columns.protocol));
  copy.int2(at(columns.event));
  copy.int2(at(columns.direction));
  copy.int2(at(columns.verdict));
  int2OrAbsent(copy, at(columns.dropReason));
  int2OrAbsent(copy, at(columns.shadowVerdict));
  int2OrAbsent(copy, at(columns.tcpFlags));
  int2OrAbsent(copy, at(columns.httpStatus));
  copy.boolean(at(columns.isReply) === 1);
}
