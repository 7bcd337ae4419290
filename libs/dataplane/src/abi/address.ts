/** IP addresses between text and the 16 bytes of the kernel records (IPv4 in the first four). */
import { formatAddress as formatBytes, parseAddress as parseBytes } from '@palisade/flow';

export interface ParsedAddress {
  readonly family: 4 | 6;
  /** 4 or 16 bytes in network order. */
  readonly bytes: Uint8Array;
}

export interface ParsedPrefix extends ParsedAddress {
  readonly length: number;
}

/** Parses one address. @throws RangeError when it is none. */
export function parseAddress(text: string): ParsedAddress {
  const bytes = parseBytes(text);
  if (!bytes) throw new RangeError(`“${text}” is not an IP address`);
  return { family: bytes.length === 4 ? 4 : 6, bytes };
}

/** Parses a CIDR or a single address; host bits are cleared. @throws RangeError when it is neither. */
export function parsePrefix(text: string): ParsedPrefix {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  const bits = address.bytes.length * 8;
  const length = slash < 0 ? bits : Number(text.slice(slash + 1));
  if (!Number.isInteger(length) || length < 0 || length > bits || (slash >= 0 && !/^\d+$/.test(text.slice(slash + 1)))) {
    throw new RangeError(`“${text}” is not a CIDR`);
  }
  const bytes = address.bytes.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, length - index * 8))));
  return { family: address.family, bytes, length };
}

/** Canonical text (RFC 5952) of the address in the first 4 or all 16 bytes. */
export function formatAddress(bytes: Uint8Array, family: number): string {
  return formatBytes(family === 4 ? bytes.subarray(0, 4) : bytes);
}
