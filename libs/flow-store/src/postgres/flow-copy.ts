import type { FlowColumns } from '@palisade/flow';
import { indexOrder } from './flow-copy-order.ts';
import type { DictionaryName } from './flow-tables.ts';

/** Columns that most flows have no value for: they are written only where a row of the COPY has one. */
export interface SeldomColumns {
  readonly process: boolean;
  readonly http: boolean;
  readonly dns: boolean;
  readonly rtt: boolean;
  readonly latency: boolean;
  readonly weight: boolean;
  readonly shadow: boolean;
  readonly status: boolean;
}

const COMMON_COLUMNS = [
  'tenant_id', 'last_seen', 'batch_id', 'packets', 'bytes', 'reply_packets', 'reply_bytes', 'duration_us', 'source_id', 'destination_id',
  'observer_id', 'stamp_id', 'policy_set_id', 'source_port', 'destination_port', '"row"', 'protocol', 'event', 'direction', 'verdict',
  'drop_reason', 'tcp_flags', 'is_reply',
] as const;

/** In the order in which rows are written. */
const SELDOM_COLUMNS = {
  process: ['process_id', 'pid'], http: ['http_id'], dns: ['dns_id'], rtt: ['rtt_us'], latency: ['latency_us'], weight: ['weight'],
  shadow: ['shadow_verdict'], status: ['http_status'],
} as const satisfies Record<keyof SeldomColumns, readonly string[]>;

/** Columns of `palisade.flow` in the order in which rows are written; the others become NULL. */
export function copyColumns(seldom: SeldomColumns): string[] {
  const names = Object.keys(SELDOM_COLUMNS) as (keyof SeldomColumns)[];
  return [...COMMON_COLUMNS, ...names.flatMap((name) => (seldom[name] ? SELDOM_COLUMNS[name] : []))];
}

/** More than any row takes: a count of fields, and 4 bytes of length and up to 8 of value for each; the tenant has 16. */
const ROW_ROOM = 2 + (COMMON_COLUMNS.length + Object.values(SELDOM_COLUMNS).flat().length) * 12 + 16;
const INT2 = 0x7fff;
const INT4 = 0x7fff_ffff;
const HIGH = 0x1_0000_0000;
/** Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01. */
const POSTGRES_EPOCH_US = 946_684_800_000_000;
/** PostgreSQL manual, COPY, "Binary Format": signature, flags, no header extension. */
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const TRAILER = Buffer.from([0xff, 0xff]);
/** Small enough that the server works on one while the next is written, large enough that nothing but rows costs time. */
const CHUNK_BYTES = 256 * 1024;

export type DictionaryIds = Readonly<Record<DictionaryName, Int32Array>>;

export interface CopySource {
  /** The tenant's UUID as four big-endian words. */
  readonly tenant: Int32Array;
  readonly batchId: number;
  readonly columns: FlowColumns;
  readonly ids: DictionaryIds;
  /** Rows to write; absent: all. */
  readonly rows?: Uint16Array;
}

/** The writers below take a position and return the one after. Values are whole and not negative. */
function absent(view: DataView, at: number): number {
  view.setInt32(at, -1);
  return at + 4;
}

function int2(view: DataView, at: number, value: number): number {
  view.setInt32(at, 2);
  view.setInt16(at + 4, value);
  return at + 6;
}

function int4(view: DataView, at: number, value: number): number {
  view.setInt32(at, 4);
  view.setInt32(at + 4, value);
  return at + 8;
}

function int8(view: DataView, at: number, value: number): number {
  const high = value < HIGH ? 0 : Math.floor(value / HIGH);
  view.setInt32(at, 8);
  view.setInt32(at + 4, high);
  view.setUint32(at + 8, value - high * HIGH);
  return at + 12;
}

/** NULL stands for zero in the columns that may hold it (see the migration). */
function int2OrAbsent(view: DataView, at: number, value: number): number {
  return value === 0 ? absent(view, at) : int2(view, at, value > INT2 ? INT2 : value);
}

function int4OrAbsent(view: DataView, at: number, value: number): number {
  return value === 0 ? absent(view, at) : int4(view, at, value > INT4 ? INT4 : value);
}

function int8OrAbsent(view: DataView, at: number, value: number): number {
  return value === 0 ? absent(view, at) : int8(view, at, value);
}

/** The id of an optional dictionary value: its column is 0 where absent, else index plus one. */
function optionalId(view: DataView, at: number, value: number, ids: Int32Array): number {
  return value === 0 ? absent(view, at) : int4(view, at, ids[value - 1] ?? 0);
}

function tenantId(view: DataView, at: number, tenant: Int32Array): number {
  view.setInt32(at, 16);
  for (let word = 0; word < 4; word++) view.setInt32(at + 4 + word * 4, tenant[word] ?? 0);
  return at + 20;
}

function boolean(view: DataView, at: number, value: number): number {
  view.setInt32(at, 1);
  view.setUint8(at + 4, value === 1 ? 1 : 0);
  return at + 5;
}

/**
 * Writes one row. Every column is read by its own expression: one that reads several, whose elements differ in type, makes
 * this loop many times slower.
 */
function writeRow(view: DataView, start: number, fields: number, { tenant, batchId, columns, ids }: CopySource, seldom: SeldomColumns, row: number): number {
  const context = columns.context[row] ?? 0;
  view.setInt16(start, fields);
  let at = tenantId(view, start + 2, tenant);
  at = int8(view, at, (columns.lastSeenUs[row] ?? 0) - POSTGRES_EPOCH_US);
  at = int8(view, at, batchId);
  at = int8(view, at, columns.packets[row] ?? 0);
  at = int8(view, at, columns.bytes[row] ?? 0);
  at = int8OrAbsent(view, at, columns.replyPackets[row] ?? 0);
  at = int8OrAbsent(view, at, columns.replyBytes[row] ?? 0);
  at = int8OrAbsent(view, at, columns.durationUs[row] ?? 0);
  at = int4(view, at, ids.peers[columns.source[row] ?? 0] ?? 0);
  at = int4(view, at, ids.peers[columns.destination[row] ?? 0] ?? 0);
  at = int4(view, at, ids.observers[context] ?? 0);
  at = int4(view, at, ids.stamps[context] ?? 0);
  at = optionalId(view, at, columns.policySet[row] ?? 0, ids.policySets);
  at = int4(view, at, columns.sourcePort[row] ?? 0);
  at = int4(view, at, columns.destinationPort[row] ?? 0);
  at = int2(view, at, row);
  at = int2(view, at, columns.protocol[row] ?? 0);
  at = int2(view, at, columns.event[row] ?? 0);
  at = int2(view, at, columns.direction[row] ?? 0);
  at = int2(view, at, columns.verdict[row] ?? 0);
  at = int2OrAbsent(view, at, columns.dropReason[row] ?? 0);
  at = int2OrAbsent(view, at, columns.tcpFlags[row] ?? 0);
  at = boolean(view, at, columns.isReply[row] ?? 0);
  if (seldom.process) {
    const process = columns.process[row] ?? 0;
    at = optionalId(view, at, process, ids.processes);
    at = int4OrAbsent(view, at, process === 0 ? 0 : (columns.processes[process - 1]?.pid ?? 0));
  }
  if (seldom.http) at = optionalId(view, at, columns.http[row] ?? 0, ids.httpRequests);
  if (seldom.dns) at = optionalId(view, at, columns.dns[row] ?? 0, ids.dnsAnswers);
  if (seldom.rtt) at = int4OrAbsent(view, at, columns.rttUs[row] ?? 0);
  if (seldom.latency) at = int4OrAbsent(view, at, columns.latencyUs[row] ?? 0);
  if (seldom.weight) {
    const weight = columns.weight[row] ?? 0;
    at = int4OrAbsent(view, at, weight === 1 ? 0 : weight);
  }
  if (seldom.shadow) at = int2OrAbsent(view, at, columns.shadowVerdict[row] ?? 0);
  if (seldom.status) at = int2OrAbsent(view, at, columns.httpStatus[row] ?? 0);
  return at;
}

/** A COPY of `copyColumns(seldom)` in binary form, in the order of the index, chunk by chunk; a chunk is the caller's, nothing writes into it again. */
export function* copyChunks(sources: readonly CopySource[], seldom: SeldomColumns): Generator<Buffer> {
  const fields = copyColumns(seldom).length;
  let chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let view = new DataView(chunk.buffer);
  let at = SIGNATURE.copy(chunk);
  for (const { source, from, to } of indexOrder(sources)) {
    const { rows } = source;
    for (let index = from; index < to; index++) {
      if (at + ROW_ROOM > CHUNK_BYTES) {
        yield chunk.subarray(0, at);
        chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
        view = new DataView(chunk.buffer);
        at = 0;
      }
      at = writeRow(view, at, fields, source, seldom, rows === undefined ? index : (rows[index] ?? 0));
    }
  }
  at += TRAILER.copy(chunk, at);
  yield chunk.subarray(0, at);
}

/** The four big-endian words of a UUID in text form. */
export function uuidWords(uuid: string): Int32Array {
  const hex = uuid.replaceAll('-', '');
  return Int32Array.from({ length: 4 }, (_, word) => Number.parseInt(hex.slice(word * 8, word * 8 + 8), 16) | 0);
}
