import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

export type FlowBatchOutcome = 'unspecified' | 'stored' | 'duplicate' | 'deferred' | 'refused';
const OUTCOMES: readonly FlowBatchOutcome[] = ['unspecified', 'stored', 'duplicate', 'deferred', 'refused'];

/** The gateway's answer to a batch; see flow.proto. */
export interface FlowBatchReceipt {
  readonly seq: number;
  readonly outcome: FlowBatchOutcome;
  /** Batches the agent may have under way from now on. */
  readonly credit: number;
  /** 0 unless deferred. */
  readonly retryAfterMs: number;
  /** One sentence where refused, else empty. */
  readonly reason: string;
}

export function encodeFlowBatchReceipt(receipt: FlowBatchReceipt): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Varint).uint64(receipt.seq);
  writer.tag(2, WireType.Varint).uint32(OUTCOMES.indexOf(receipt.outcome));
  writer.tag(3, WireType.Varint).uint32(receipt.credit);
  writer.tag(4, WireType.Varint).uint32(receipt.retryAfterMs);
  if (receipt.reason !== '') writer.tag(5, WireType.LengthDelimited).string(receipt.reason);
  return writer.finish();
}

/** An outcome this version does not know reads as `unspecified`: the batch is kept. @throws RangeError on malformed bytes */
export function decodeFlowBatchReceipt(bytes: Uint8Array): FlowBatchReceipt {
  const reader = new BinaryReader(bytes);
  const receipt = { seq: 0, outcome: 'unspecified' as FlowBatchOutcome, credit: 0, retryAfterMs: 0, reason: '' };
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1 && wireType === WireType.Varint) receipt.seq = Number(reader.uint64());
    else if (field === 2 && wireType === WireType.Varint) receipt.outcome = OUTCOMES[reader.uint32()] ?? 'unspecified';
    else if (field === 3 && wireType === WireType.Varint) receipt.credit = reader.uint32();
    else if (field === 4 && wireType === WireType.Varint) receipt.retryAfterMs = reader.uint32();
    else if (field === 5 && wireType === WireType.LengthDelimited) receipt.reason = reader.string();
    else reader.skip(wireType, field);
  }
  return receipt;
}
