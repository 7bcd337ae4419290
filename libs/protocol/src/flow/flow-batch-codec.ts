import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import * as zlib from 'node:zlib';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { DomainError } from '@palisade/errors';
import { FLOW_LOSS_REASONS, MAX_BATCH_ROWS, type FlowAccount, type FlowBatch, type FlowLossReason } from '@palisade/flow';
import { decodeFlowColumns, encodeFlowColumns } from './flow-columns-codec.ts';

/** Bounds of a batch on the wire and in memory; both are checked before anything is allocated from the content. */
export const MAX_FLOW_BATCH_BYTES = 1024 * 1024;
export const MAX_FLOW_COLUMNS_BYTES = 8 * 1024 * 1024;

export const FLOW_BATCH_PATH = '/agent/v1/flows';

export type FlowCompression = 'none' | 'zstd' | 'deflate';
const COMPRESSION = { none: 0, zstd: 1, deflate: 2 } as const satisfies Record<FlowCompression, number>;

/** zstd where the runtime has it (Node 22.15, 24), else deflate. */
export function preferredCompression(): FlowCompression {
  return typeof zlib.zstdCompressSync === 'function' ? 'zstd' : 'deflate';
}

function compress(bytes: Uint8Array, compression: FlowCompression): Uint8Array {
  if (compression === 'zstd') return zlib.zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  return compression === 'deflate' ? deflateRawSync(bytes, { level: 1 }) : bytes;
}

/** @throws when the content is malformed or larger than `MAX_FLOW_COLUMNS_BYTES` */
function decompress(bytes: Uint8Array, compression: number): Uint8Array {
  const bound = { maxOutputLength: MAX_FLOW_COLUMNS_BYTES };
  switch (compression) {
    case COMPRESSION.none: return bytes;
    case COMPRESSION.zstd: return zlib.zstdDecompressSync(bytes, bound);
    case COMPRESSION.deflate: return inflateRawSync(bytes, bound);
    default: throw new RangeError(`Compression ${compression} is not known.`);
  }
}

function writeCount(writer: BinaryWriter, field: number, value: number): void {
  if (value !== 0) writer.tag(field, WireType.Varint).uint64(value);
}

function writeAccount(writer: BinaryWriter, account: FlowAccount): void {
  writeCount(writer, 1, account.seen);
  writeCount(writer, 2, account.exported);
  writeCount(writer, 3, account.sampled);
  for (const reason of FLOW_LOSS_REASONS) {
    const count = account.dropped[reason] ?? 0;
    if (count === 0) continue;
    writer.tag(4, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(reason);
    writeCount(writer, 2, count);
    writer.join();
  }
}

/** Bytes of a FlowBatch message (flow.proto). */
export function encodeFlowBatch(batch: FlowBatch, compression: FlowCompression = preferredCompression()): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.LengthDelimited).string(batch.bootId);
  writeCount(writer, 2, batch.seq);
  writeCount(writer, 3, batch.columns.rows);
  writer.tag(4, WireType.LengthDelimited).bytes(compress(encodeFlowColumns(batch.columns), compression));
  writeCount(writer, 5, COMPRESSION[compression]);
  writeCount(writer, 6, batch.windowStartUs);
  writeCount(writer, 7, batch.windowEndUs);
  writer.tag(8, WireType.LengthDelimited).fork();
  writeAccount(writer, batch.account);
  writer.join();
  return writer.finish();
}

function readCount(reader: BinaryReader): number {
  const value = Number(reader.uint64());
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is over 2^53.`);
  return value;
}

function isLossReason(text: string): text is FlowLossReason {
  return (FLOW_LOSS_REASONS as readonly string[]).includes(text);
}

/** A reason this version does not know is still a loss: it counts as `refused`. */
function readLoss(bytes: Uint8Array): { reason: FlowLossReason; count: number } {
  const reader = new BinaryReader(bytes);
  let reason: FlowLossReason = 'refused';
  let count = 0;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1 && wireType === WireType.LengthDelimited) {
      const text = reader.string();
      if (isLossReason(text)) reason = text;
    } else if (field === 2 && wireType === WireType.Varint) count = readCount(reader);
    else reader.skip(wireType, field);
  }
  return { reason, count };
}

function readAccount(bytes: Uint8Array): FlowAccount {
  const reader = new BinaryReader(bytes);
  const account = { seen: 0, exported: 0, sampled: 0 };
  const dropped: Partial<Record<FlowLossReason, number>> = {};
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (wireType === WireType.Varint && field === 1) account.seen = readCount(reader);
    else if (wireType === WireType.Varint && field === 2) account.exported = readCount(reader);
    else if (wireType === WireType.Varint && field === 3) account.sampled = readCount(reader);
    else if (wireType === WireType.LengthDelimited && field === 4) {
      const loss = readLoss(reader.bytes());
      dropped[loss.reason] = (dropped[loss.reason] ?? 0) + loss.count;
    } else reader.skip(wireType, field);
  }
  return { ...account, dropped };
}

interface Envelope {
  bootId: string;
  seq: number;
  rows: number;
  columns: Uint8Array;
  compression: number;
  windowStartUs: number;
  windowEndUs: number;
  account: FlowAccount;
}

function readEnvelope(bytes: Uint8Array): Envelope {
  const reader = new BinaryReader(bytes);
  const envelope: Envelope = {
    bootId: '', seq: 0, rows: 0, columns: new Uint8Array(), compression: 0, windowStartUs: 0, windowEndUs: 0,
    account: { seen: 0, exported: 0, sampled: 0, dropped: {} },
  };
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (wireType === WireType.LengthDelimited && field === 1) envelope.bootId = reader.string();
    else if (wireType === WireType.Varint && field === 2) envelope.seq = readCount(reader);
    else if (wireType === WireType.Varint && field === 3) envelope.rows = readCount(reader);
    else if (wireType === WireType.LengthDelimited && field === 4) envelope.columns = reader.bytes();
    else if (wireType === WireType.Varint && field === 5) envelope.compression = readCount(reader);
    else if (wireType === WireType.Varint && field === 6) envelope.windowStartUs = readCount(reader);
    else if (wireType === WireType.Varint && field === 7) envelope.windowEndUs = readCount(reader);
    else if (wireType === WireType.LengthDelimited && field === 8) envelope.account = readAccount(reader.bytes());
    else reader.skip(wireType, field);
  }
  return envelope;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function invalid(message: string, cause?: unknown): DomainError {
  return new DomainError('request.invalid', message, cause === undefined ? {} : { cause });
}

function checkEnvelope(envelope: Envelope): void {
  if (!UUID.test(envelope.bootId)) throw invalid('The flow batch has no boot_id in the form of a lower-case UUID.');
  if (envelope.seq < 1) throw invalid('The flow batch has no sequence number; they start at 1.');
  if (envelope.rows > MAX_BATCH_ROWS) throw new DomainError('request.too-large', `The flow batch has ${envelope.rows} rows; at most ${MAX_BATCH_ROWS} are allowed.`);
}

/**
 * Reads a FlowBatch message. Memory is bounded by the constants above whatever the bytes say.
 * @throws DomainError `request.too-large` over a bound, `request.invalid` on anything malformed
 */
export function decodeFlowBatch(bytes: Uint8Array): FlowBatch {
  if (bytes.length > MAX_FLOW_BATCH_BYTES) throw new DomainError('request.too-large', `The flow batch has ${bytes.length} bytes; at most ${MAX_FLOW_BATCH_BYTES} are allowed.`);
  try {
    const envelope = readEnvelope(bytes);
    checkEnvelope(envelope);
    const { bootId, seq, windowStartUs, windowEndUs, account } = envelope;
    const columns = decodeFlowColumns(decompress(envelope.columns, envelope.compression), envelope.rows);
    return { bootId, seq, windowStartUs, windowEndUs, account, columns };
  } catch (error) {
    if (error instanceof DomainError) throw error;
    if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new DomainError('request.too-large', `The flow batch is larger than ${MAX_FLOW_COLUMNS_BYTES} bytes when decompressed.`);
    }
    throw invalid(`The flow batch cannot be read: ${error instanceof Error ? error.message : String(error)}`, error);
  }
}
