import { ENDPOINT_STATE, MAX_ENDPOINTS, PALISADE_BANKS, bytesText, hex, isZero, type KernelPort, type ObservedEndpoint } from '@palisade/dataplane';
import type { MapSet } from './map-set.ts';

/** An endpoint's row with what only the report needs. */
export interface ObservedRow extends ObservedEndpoint {
  readonly attach: string;
}

interface KnownRow {
  readonly bytes: Buffer;
  readonly row: ObservedRow;
}

/** What bytes meant when they were read last: a node has thousands of rows, and an apply changes few of them. */
const decoded = new WeakMap<MapSet, Map<number, KnownRow>>();

function digestText(bytes: Uint8Array): string | undefined {
  return isZero(bytes) ? undefined : hex(bytes);
}

function decodeRow(bytes: Uint8Array, slot: number): ObservedRow {
  const state = ENDPOINT_STATE.decode(bytes);
  const policyDigest = digestText(state.policy_digest);
  const shadowDigest = digestText(state.shadow_digest);
  return {
    slot,
    key: bytesText(state.key),
    attach: bytesText(state.attach),
    ...(policyDigest !== undefined && { policyDigest }),
    ...(shadowDigest !== undefined && { shadowDigest }),
  };
}

/** The rows of both banks that are in use, read from the kernel. */
export function readEndpointRows(kernel: KernelPort, maps: MapSet): ObservedRow[][] {
  const before = decoded.get(maps);
  const now = new Map<number, KnownRow>();
  const banks: ObservedRow[][] = Array.from({ length: PALISADE_BANKS }, () => []);
  const { keys, values, count } = kernel.readAll(maps.map('endpoint_states'));
  const index = new DataView(keys.buffer, keys.byteOffset);
  const all = Buffer.from(values.buffer, values.byteOffset, values.length);
  for (let at = 0; at < count; at += 1) {
    if (all[at * ENDPOINT_STATE.size] === 0) continue;
    const number = index.getUint32(at * 4, true);
    const bytes = all.subarray(at * ENDPOINT_STATE.size, (at + 1) * ENDPOINT_STATE.size);
    const known = before?.get(number);
    const entry = known?.bytes.equals(bytes) === true ? known : { bytes: Buffer.from(bytes), row: decodeRow(bytes, number % MAX_ENDPOINTS) };
    now.set(number, entry);
    banks[Math.floor(number / MAX_ENDPOINTS)]?.push(entry.row);
  }
  decoded.set(maps, now);
  return banks;
}
