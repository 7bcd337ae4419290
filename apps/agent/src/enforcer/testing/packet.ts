/** Frames for BPF_PROG_TEST_RUN: built from the fields that the programs read, with every length right unless told otherwise. */

import { parseAddress } from '@palisade/dataplane';

export const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 } as const;
export const TCP = { fin: 0x01, syn: 0x02, rst: 0x04, ack: 0x10 } as const;

function u16(value: number): number[] {
  return [(value >> 8) & 0xff, value & 0xff];
}

function u32(value: number): number[] {
  return [...u16(value >>> 16), ...u16(value & 0xffff)];
}

export interface Ends {
  readonly from: string;
  readonly to: string;
}

export function tcp(sourcePort: number, destinationPort: number, flags: number = TCP.syn, dataOffset = 5): Uint8Array {
  return Uint8Array.from([...u16(sourcePort), ...u16(destinationPort), ...u32(1), ...u32(0), dataOffset << 4, flags, ...u16(512), 0, 0, 0, 0]);
}

export function udp(sourcePort: number, destinationPort: number, payload = 4, length = 8 + payload): Uint8Array {
  return Uint8Array.from([...u16(sourcePort), ...u16(destinationPort), ...u16(length), 0, 0, ...Array.from({ length: payload }, () => 0)]);
}

export function sctp(sourcePort: number, destinationPort: number): Uint8Array {
  return Uint8Array.from([...u16(sourcePort), ...u16(destinationPort), ...u32(0), ...u32(0), 1, 0, 0, 4]);
}

/** ICMP and ICMPv6 alike; `rest` follows the eight header bytes. */
export function icmp(type: number, code = 0, id = 7, rest: Uint8Array = new Uint8Array()): Uint8Array {
  return Uint8Array.from([type, code, 0, 0, ...u16(id), 0, 1, ...rest]);
}

export interface Ipv4Options {
  /** Fragment offset in bytes. */
  readonly fragmentOffset?: number;
  readonly moreFragments?: boolean;
  readonly id?: number;
  readonly version?: number;
  readonly headerWords?: number;
  readonly totalLength?: number;
  /** Bytes of IP options, a multiple of four. */
  readonly options?: number;
}

export function ipv4(ends: Ends, protocol: number, payload: Uint8Array, more: Ipv4Options = {}): Uint8Array {
  const options = more.options ?? 0;
  const words = more.headerWords ?? 5 + options / 4;
  const fragment = (more.moreFragments ? 0x2000 : 0) | ((more.fragmentOffset ?? 0) >> 3);
  return Uint8Array.from([
    ((more.version ?? 4) << 4) | words, 0, ...u16(more.totalLength ?? 20 + options + payload.length), ...u16(more.id ?? 1), ...u16(fragment),
    64, protocol, 0, 0, ...parseAddress(ends.from).bytes, ...parseAddress(ends.to).bytes, ...Array.from({ length: options }, () => 1), ...payload,
  ]);
}

/** An IPv6 extension header of `type`; the value of `next` is filled in by `ipv6`. */
export interface ExtensionHeader {
  readonly type: number;
  readonly bytes: Uint8Array;
}

export function optionsHeader(type: 0 | 43 | 60, units = 0): ExtensionHeader {
  const bytes = new Uint8Array((units + 1) * 8);
  bytes[1] = units;
  return { type, bytes };
}

export function fragmentHeader(offset: number, more: boolean, id = 1): ExtensionHeader {
  return { type: 44, bytes: Uint8Array.from([0, 0, ...u16((offset & 0xfff8) | (more ? 1 : 0)), ...u32(id)]) };
}

export function ipv6(ends: Ends, protocol: number, payload: Uint8Array, extensions: readonly ExtensionHeader[] = [], payloadLength?: number): Uint8Array {
  const chain = extensions.flatMap(({ bytes }, index) => [extensions[index + 1]?.type ?? protocol, ...bytes.subarray(1)]);
  const length = payloadLength ?? chain.length + payload.length;
  return Uint8Array.from([
    0x60, 0, 0, 0, ...u16(length), extensions[0]?.type ?? protocol, 64, ...parseAddress(ends.from).bytes, ...parseAddress(ends.to).bytes, ...chain, ...payload,
  ]);
}

/** An Ethernet frame, with VLAN tags outside in. */
export function frame(packet: Uint8Array, etherType: number = (packet[0] ?? 0) >> 4 === 6 ? 0x86dd : 0x0800, tags: readonly number[] = []): Uint8Array {
  const types = [...tags, etherType];
  const tagBytes = types.slice(1).flatMap((type) => [0, 5, ...u16(type)]);
  return Uint8Array.from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, ...u16(types[0] ?? etherType), ...tagBytes, ...packet]);
}
