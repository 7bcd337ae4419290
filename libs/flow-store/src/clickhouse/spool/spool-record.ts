import { crc32 } from 'node:zlib';

/** One commit of the sink as it lies in a segment. */
export interface SpoolRecord {
  readonly head: SpoolHead;
  /** Rows as a Native block of `flow_ingest`; empty when there are none. */
  readonly block: Buffer;
}

/** A batch in the ledger of landed batches, without what the segment adds. Names are those of `flow_batch`. */
export interface LandingBatch {
  readonly tenant_id: string;
  readonly node_id: string;
  readonly boot_id: string;
  readonly seq: number;
  readonly batch_id: string;
  readonly cluster_id: string;
  readonly node: string;
  readonly rows: number;
  readonly window_start_us: number;
  readonly window_end_us: number;
  readonly received_us: number;
  readonly seen: number;
  readonly sampled: number;
  readonly loss_reasons: readonly string[];
  readonly loss_counts: readonly number[];
  readonly incomplete: 0 | 1;
}

export interface SpoolHead {
  readonly batches: readonly LandingBatch[];
  /** Dictionary table → rows, as they are inserted. */
  readonly entries: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;
}

const MAGIC = 0x50_46_53_31; // "PFS1"
const FRAME_BYTES = 16;

export function encodeRecord({ head, block }: SpoolRecord): Buffer {
  const headBytes = Buffer.from(JSON.stringify(head));
  const frame = Buffer.alloc(FRAME_BYTES);
  frame.writeUInt32BE(MAGIC, 0);
  frame.writeUInt32BE(headBytes.length, 4);
  frame.writeUInt32BE(block.length, 8);
  frame.writeUInt32BE(crc32(block, crc32(headBytes)), 12);
  return Buffer.concat([frame, headBytes, block]);
}

export interface DecodedRecords {
  readonly records: readonly SpoolRecord[];
  /** Bytes after the last whole record: a write that was cut off, or damage. */
  readonly restBytes: number;
}

export function decodeRecords(bytes: Buffer): DecodedRecords {
  const records: SpoolRecord[] = [];
  let at = 0;
  while (at + FRAME_BYTES <= bytes.length) {
    const headLength = bytes.readUInt32BE(at + 4);
    const end = at + FRAME_BYTES + headLength + bytes.readUInt32BE(at + 8);
    if (bytes.readUInt32BE(at) !== MAGIC || end > bytes.length) break;
    const head = bytes.subarray(at + FRAME_BYTES, at + FRAME_BYTES + headLength);
    const block = bytes.subarray(at + FRAME_BYTES + headLength, end);
    if (crc32(block, crc32(head)) !== bytes.readUInt32BE(at + 12)) break;
    records.push({ head: JSON.parse(head.toString('utf8')) as SpoolHead, block });
    at = end;
  }
  return { records, restBytes: bytes.length - at };
}
