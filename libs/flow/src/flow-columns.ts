/**
 * Flows as columns: one typed array per field, and dictionaries for what repeats. This is what travels on the wire, through
 * the gateway and into the stores; row objects exist only where an answer is shown.
 */
import type { FlowPeer, FlowPolicy, FlowProcess } from './flow-record.ts';

/** Most rows of one batch (flows.md, "Wire"). */
export const MAX_BATCH_ROWS = 5000;
/** Latest time a row can carry (year 2112): differences of times stay below 2^53 also after zigzag. */
export const MAX_TIME_US = 2 ** 52 - 1;

/** Where a flow was seen and under what its verdict was taken; few per batch. */
export interface FlowContext {
  readonly node: string;
  readonly interface?: string;
  readonly generation: string;
  readonly policyRevision: number;
  readonly identityRevision: number;
  /** Number of `FLOW_SOURCE`. */
  readonly origin: number;
}

export interface FlowHttpRequest {
  readonly method: string;
  readonly path: string;
}

export interface FlowDnsAnswer {
  readonly query: string;
  readonly addresses: readonly string[];
  readonly rcode: number;
}

/** What columns refer to by index. Optional things start at index 1 in their column; 0 means absent. */
export interface FlowDictionaries {
  readonly peers: readonly FlowPeer[];
  readonly contexts: readonly FlowContext[];
  readonly policySets: readonly (readonly FlowPolicy[])[];
  readonly processes: readonly FlowProcess[];
  readonly httpRequests: readonly FlowHttpRequest[];
  readonly dnsAnswers: readonly FlowDnsAnswer[];
}

type ColumnArray = { u8: Uint8Array; u16: Uint16Array; u32: Uint32Array; f64: Float64Array };
interface ColumnDefinition {
  readonly array: keyof ColumnArray;
  /** Dictionary the values index; `optional` ones are shifted by one. */
  readonly dictionary?: keyof FlowDictionaries;
  readonly optional?: true;
  /** Written as differences from row to row (times). */
  readonly delta?: true;
}

/** Every column of a flow, in wire order; the position is part of the wire contract (field number = position + 1). Only append. */
export const FLOW_COLUMNS = {
  event: { array: 'u8' },
  source: { array: 'u32', dictionary: 'peers' },
  destination: { array: 'u32', dictionary: 'peers' },
  sourcePort: { array: 'u16' },
  destinationPort: { array: 'u16' },
  protocol: { array: 'u8' },
  direction: { array: 'u8' },
  context: { array: 'u32', dictionary: 'contexts' },
  verdict: { array: 'u8' },
  dropReason: { array: 'u8' },
  policySet: { array: 'u32', dictionary: 'policySets', optional: true },
  shadowVerdict: { array: 'u8' },
  isReply: { array: 'u8' },
  packets: { array: 'f64' },
  bytes: { array: 'f64' },
  replyPackets: { array: 'f64' },
  replyBytes: { array: 'f64' },
  /** Microseconds between first and last seen. */
  durationUs: { array: 'f64' },
  /** Microseconds since the Unix epoch. */
  lastSeenUs: { array: 'f64', delta: true },
  tcpFlags: { array: 'u16' },
  /** 0: not measured. */
  rttUs: { array: 'u32' },
  process: { array: 'u32', dictionary: 'processes', optional: true },
  http: { array: 'u32', dictionary: 'httpRequests', optional: true },
  /** 0: no answer seen. */
  httpStatus: { array: 'u16' },
  dns: { array: 'u32', dictionary: 'dnsAnswers', optional: true },
  /** Of the HTTP or DNS answer; 0: not measured. */
  latencyUs: { array: 'u32' },
  weight: { array: 'u32' },
} as const satisfies Record<string, ColumnDefinition>;

export type FlowColumnName = keyof typeof FLOW_COLUMNS;
export const FLOW_COLUMN_NAMES = Object.keys(FLOW_COLUMNS) as readonly FlowColumnName[];

export type FlowColumnArrays = { readonly [Name in FlowColumnName]: ColumnArray[(typeof FLOW_COLUMNS)[Name]['array']] };

/** A batch of flows. Every column has `rows` values; every dictionary index is in range (builders and decoders see to it). */
export interface FlowColumns extends FlowColumnArrays, FlowDictionaries {
  readonly rows: number;
}

/** The definition of a column as one shape, for code that goes over all of them. */
export function columnDefinition(name: FlowColumnName): ColumnDefinition {
  return FLOW_COLUMNS[name];
}

/** Zeroed columns for `rows` rows. */
export function allocateColumns(rows: number): FlowColumnArrays {
  const make = { u8: () => new Uint8Array(rows), u16: () => new Uint16Array(rows), u32: () => new Uint32Array(rows), f64: () => new Float64Array(rows) };
  return Object.fromEntries(FLOW_COLUMN_NAMES.map((name) => [name, make[FLOW_COLUMNS[name].array]()])) as unknown as FlowColumnArrays;
}
