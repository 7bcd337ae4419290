import {
  ADDRESS_MAP_NAMES,
  BANK_STATE,
  CONTROL_SHADOW,
  bytesText,
  hex,
  isZero,
  type AddressMapName,
  type KernelPort,
  type ObservedBank,
  type ObservedEndpoint,
  type ObservedState,
} from '@palisade/dataplane';
import { readEndpointRows, type ObservedRow } from './endpoint-rows.ts';
import { rowKey, type MapSet } from './map-set.ts';
import type { Attachments } from './attachments.ts';
import type { Pins } from './pins.ts';

function digestText(bytes: Uint8Array): string | undefined {
  return isZero(bytes) ? undefined : hex(bytes);
}

function addressDigests(bytes: Uint8Array): Record<AddressMapName, string> {
  const entries = ADDRESS_MAP_NAMES.map((name, index) => [name, digestText(bytes.subarray(index * 32, index * 32 + 32)) ?? ''] as const);
  return Object.fromEntries(entries) as Record<AddressMapName, string>;
}

function readBank(kernel: KernelPort, maps: MapSet, bank: number, endpoints: readonly ObservedEndpoint[]): ObservedBank {
  const state = BANK_STATE.decode(kernel.lookup(maps.map('bank_states'), rowKey(bank)) ?? new Uint8Array(BANK_STATE.size));
  return {
    contentDigest: bytesText(state.content_digest),
    bundleGeneration: bytesText(state.bundle_generation),
    policyRevision: Number(state.policy_revision),
    identityRevision: Number(state.identity_revision),
    programDigest: digestText(state.program_digest) ?? '',
    addressDigests: addressDigests(state.address_digest),
    shadowAddressDigests: addressDigests(state.shadow_address_digest),
    namesDigest: digestText(state.names_digest) ?? '',
    softDigest: digestText(state.soft_digest) ?? '',
    endpoints,
  };
}

/** Digest of the program object in force; empty before the first. */
export function readProgramDigest(kernel: KernelPort, maps: MapSet): string {
  return readBank(kernel, maps, Number(maps.control().generation & 1n), []).programDigest;
}

export interface ReadState extends ObservedState {
  readonly rows: readonly ObservedRow[];
  /** The bank in force. */
  readonly current: ObservedBank;
}

/** One of `count` rows of the same size. */
function row(bytes: Uint8Array, at: number, count: number): string {
  const size = bytes.length / count;
  return hex(bytes.subarray(at * size, (at + 1) * size));
}

/**
 * Reads back what the kernel holds and runs. Nothing here comes from the agent's memory.
 * @param programDigest attachments count as current when they run the pinned programs of this digest
 */
export function readObservedState(kernel: KernelPort, maps: MapSet, pins: Pins, attachments: Attachments, programDigest?: string): ReadState {
  const control = maps.control();
  const rows = readEndpointRows(kernel, maps);
  const banks = [readBank(kernel, maps, 0, rows[0] ?? []), readBank(kernel, maps, 1, rows[1] ?? [])] as const;
  const bank = (control.generation & 1n) === 1n ? 1 : 0;
  const services = kernel.readAll(maps.map('services'));
  return {
    generation: control.generation,
    banks,
    current: banks[bank],
    rows: rows[bank] ?? [],
    links: attachments.read(programDigest ?? banks[bank].programDigest),
    pinnedPolicies: new Set(kernel.listPins(pins.policies)),
    pinnedAddresses: new Set(kernel.listPins(pins.addresses)),
    services: new Map(Array.from({ length: services.count }, (_, at) => [row(services.keys, at, services.count), row(services.values, at, services.count)])),
    shadowOn: (control.flags & CONTROL_SHADOW) !== 0,
  };
}
