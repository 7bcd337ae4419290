import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isDomainError } from '@palisade/errors';
import { columnsOf, DROP_REASON, FLOW_DIRECTION, FLOW_EVENT, FLOW_LOSS_REASONS, FLOW_SOURCE, flowAt, formatAddress, MAX_TIME_US, VERDICT, type FlowBatch, type FlowRecord } from '@palisade/flow';
import { decodeFlowBatch, encodeFlowBatch, MAX_FLOW_BATCH_BYTES } from './flow-batch-codec.ts';

const keys = <Name extends string>(numbers: Record<Name, number>): fc.Arbitrary<Name> => fc.constantFrom(...(Object.keys(numbers) as Name[]));
const text = fc.string({ minLength: 1, maxLength: 12 }).map((value) => value.replaceAll('\0', '.'));
const counter = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const maybe = <Key extends string, Value>(key: Key, value: fc.Arbitrary<Value>): fc.Arbitrary<{ [K in Key]?: Value }> =>
  fc.option(value, { nil: undefined }).map((some) => (some === undefined ? {} : { [key]: some }) as { [K in Key]?: Value });

const address = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })).map(formatAddress);
const end = fc.tuple(
  fc.record({ address, port: fc.nat(65535), identity: fc.nat(2 ** 32 - 1), labels: fc.array(text, { maxLength: 4 }) }),
  maybe('namespace', text), maybe('workload', text), maybe('cluster', text), maybe('node', text), maybe('dnsNames', fc.array(text, { minLength: 1, maxLength: 3 })),
).map((parts) => Object.assign({}, ...parts) as FlowRecord['source']);
const policy = fc.tuple(
  fc.record({ kind: text, name: text, revision: fc.nat(), direction: keys(FLOW_DIRECTION) }), maybe('namespace', text), maybe('index', fc.nat(1000)),
).map((parts) => Object.assign({}, ...parts) as FlowRecord['policies'][number]);
const process = fc.tuple(fc.record({ binary: text, pid: fc.nat(), uid: fc.nat() }), maybe('container', text), maybe('arguments', text)).map((parts) => Object.assign({}, ...parts) as NonNullable<FlowRecord['process']>);
const layer = fc.oneof(
  fc.constant({}),
  fc.tuple(fc.record({ method: text, path: text }), maybe('status', fc.integer({ min: 1, max: 999 })), maybe('latencyUs', fc.integer({ min: 1, max: 2 ** 32 - 1 }))).map((parts) => ({ http: Object.assign({}, ...parts) })),
  fc.tuple(fc.record({ query: text, addresses: fc.array(address, { maxLength: 3 }), rcode: fc.nat(15) }), maybe('latencyUs', fc.integer({ min: 1, max: 2 ** 32 - 1 }))).map((parts) => ({ dns: Object.assign({}, ...parts) })),
);

const flow: fc.Arbitrary<FlowRecord> = fc.tuple(
  fc.record({
    event: keys(FLOW_EVENT), source: end, destination: end, protocol: fc.nat(255), direction: keys(FLOW_DIRECTION), node: text, verdict: keys(VERDICT),
    policies: fc.array(policy, { maxLength: 3 }), isReply: fc.boolean(), packets: counter, bytes: counter, replyPackets: counter, replyBytes: counter,
    tcpFlags: fc.nat(0xfff), generation: text, policyRevision: fc.nat(), identityRevision: fc.nat(), origin: keys(FLOW_SOURCE), weight: fc.integer({ min: 1, max: 1000 }),
  }),
  fc.tuple(fc.nat(2 ** 42), fc.nat(MAX_TIME_US)).map(([duration, last]) => ({ lastSeenUs: Math.max(last, duration), firstSeenUs: Math.max(last, duration) - duration })),
  maybe('interface', text), maybe('dropReason', keys(DROP_REASON)), maybe('shadowVerdict', keys(VERDICT)), maybe('rttUs', fc.integer({ min: 1, max: 2 ** 32 - 1 })), maybe('process', process), layer,
).map((parts) => Object.assign({}, ...parts) as FlowRecord);

const account = fc.record({ seen: counter, exported: counter, sampled: counter, dropped: fc.tuple(...FLOW_LOSS_REASONS.map((reason) => maybe(reason, fc.integer({ min: 1, max: 1e9 })))).map((parts) => Object.assign({}, ...parts)) });

function batchOf(flows: readonly FlowRecord[], over: Partial<FlowBatch> = {}): FlowBatch {
  return {
    bootId: '01890a5d-ac96-774b-bcce-b302099a8057', seq: 7, windowStartUs: 1, windowEndUs: 2,
    account: { seen: flows.length, exported: flows.length, sampled: 0, dropped: {} }, columns: columnsOf(flows), ...over,
  };
}

describe('flow batch codec', () => {
  it('gives back every flow, whatever the compression', () => {
    fc.assert(fc.property(fc.array(flow, { maxLength: 30 }), account, fc.constantFrom('none', 'zstd', 'deflate'), (flows, spent, compression) => {
      const decoded = decodeFlowBatch(encodeFlowBatch(batchOf(flows, { account: spent }), compression));
      expect(decoded.account).toEqual(spent);
      expect(flows.map((_, row) => flowAt(decoded.columns, row))).toEqual(flows);
    }), { numRuns: 200 });
  });

  it('ends in a domain error on any damage, never in a crash or a hang', () => {
    const samples = fc.sample(fc.array(flow, { minLength: 1, maxLength: 8 }), { numRuns: 5, seed: 1 }).map((flows) => encodeFlowBatch(batchOf(flows), 'none'));
    fc.assert(fc.property(fc.constantFrom(...samples), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 }), fc.option(fc.nat()), (sample, edits, cut) => {
      const bytes = Uint8Array.from(sample);
      for (const [at, value] of edits) bytes[at % bytes.length] = value;
      const input = cut === null ? bytes : bytes.subarray(0, cut % bytes.length);
      try {
        const { columns } = decodeFlowBatch(input);
        for (let row = 0; row < columns.rows; row++) flowAt(columns, row);
      } catch (error) {
        expect(isDomainError(error, 'request.invalid', 'request.too-large'), String(error)).toBe(true);
      }
    }), { numRuns: 3000 });
  });

  it('ends in a domain error on bytes that are no batch at all', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(() => decodeFlowBatch(bytes)).toThrow(expect.objectContaining({ name: 'DomainError' }));
    }), { numRuns: 500 });
  });

  it('refuses a batch that is too large before reading it', () => {
    expect(() => decodeFlowBatch(new Uint8Array(MAX_FLOW_BATCH_BYTES + 1))).toThrow(expect.objectContaining({ code: 'request.too-large' }));
  });

  it('refuses a small batch that decompresses beyond the bound', async () => {
    const { zstdCompressSync } = await import('node:zlib');
    const bomb = zstdCompressSync(new Uint8Array(64 * 1024 * 1024));
    const { BinaryWriter, WireType } = await import('@bufbuild/protobuf/wire');
    const writer = new BinaryWriter();
    writer.tag(1, WireType.LengthDelimited).string('01890a5d-ac96-774b-bcce-b302099a8057');
    writer.tag(2, WireType.Varint).uint64(1);
    writer.tag(4, WireType.LengthDelimited).bytes(bomb);
    writer.tag(5, WireType.Varint).uint32(1);
    expect(() => decodeFlowBatch(writer.finish())).toThrow(expect.objectContaining({ code: 'request.too-large' }));
  });

  it('refuses more than 5,000 rows', () => {
    const one = fc.sample(flow, { numRuns: 1, seed: 3 })[0] as FlowRecord;
    const bytes = encodeFlowBatch(batchOf(new Array<FlowRecord>(5001).fill(one)));
    expect(() => decodeFlowBatch(bytes)).toThrow(expect.objectContaining({ code: 'request.too-large' }));
  });

  it('replaces NUL in names, which no store can hold', () => {
    const one = { ...(fc.sample(flow, { numRuns: 1, seed: 3 })[0] as FlowRecord), node: 'a\0b' };
    expect(flowAt(decodeFlowBatch(encodeFlowBatch(batchOf([one]))).columns, 0).node).toBe('a\u{fffd}b');
  });
});
