import { DomainError } from '@palisade/errors';

/** An address as bytes: 4 of IPv4 or 16 of IPv6, most significant first. */
export type AddressBytes = Uint8Array;

function parseIpv4(text: string): AddressBytes | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255 || (part.length > 1 && part.startsWith('0'))) return undefined;
    bytes[index] = Number(part);
  }
  return bytes;
}

/** The 16-bit groups of one side of `::`, a trailing dotted IPv4 included. */
function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    if (index === parts.length - 1 && part.includes('.')) {
      const v4 = parseIpv4(part);
      if (v4 === undefined) return undefined;
      groups.push(((v4[0] ?? 0) << 8) | (v4[1] ?? 0), ((v4[2] ?? 0) << 8) | (v4[3] ?? 0));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

function parseIpv6(text: string): AddressBytes | undefined {
  const halves = text.split('::');
  // A dotted quad stands for the last 32 bits only (RFC 4291 §2.2, form 3).
  if (halves.length > 2 || (halves.length === 2 && (halves[0] ?? '').includes('.'))) return undefined;
  const head = parseGroups(halves[0] ?? '');
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '') : [];
  if (head === undefined || tail === undefined) return undefined;
  const gap = 8 - head.length - tail.length;
  if (halves.length === 2 ? gap < 1 : gap !== 0) return undefined;
  const groups = [...head, ...new Array<number>(gap).fill(0), ...tail];
  const bytes = new Uint8Array(16);
  for (const [index, group] of groups.entries()) {
    bytes[index * 2] = group >> 8;
    bytes[index * 2 + 1] = group & 0xff;
  }
  return bytes;
}

/** Bytes of an IPv4 or IPv6 address in text form (RFC 4291 §2.2); undefined when it is neither. */
export function parseAddress(text: string): AddressBytes | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** Canonical text (RFC 5952 §4). @throws RangeError unless there are 4 or 16 bytes */
export function formatAddress(bytes: AddressBytes): string {
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) throw new RangeError(`An address has 4 or 16 bytes, not ${bytes.length}.`);
  const groups = Array.from({ length: 8 }, (_, index) => ((bytes[index * 2] ?? 0) << 8) | (bytes[index * 2 + 1] ?? 0));
  const gap = longestZeroRun(groups);
  const hex = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(':');
  return gap.length < 2 ? hex(groups) : `${hex(groups.slice(0, gap.start))}::${hex(groups.slice(gap.start + gap.length))}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

/** A prefix: `length` leading bits of `bytes` count. */
export interface AddressPrefix {
  readonly bytes: AddressBytes;
  readonly length: number;
}

/** An address, or a CIDR (`10.0.0.0/8`, `::/0`). @throws DomainError `request.invalid` */
export function parsePrefix(text: string, pointer?: string): AddressPrefix {
  const [address = '', length, ...rest] = text.split('/');
  const bytes = parseAddress(address);
  const bits = bytes === undefined ? 0 : bytes.length * 8;
  const size = length === undefined ? bits : /^\d{1,3}$/.test(length) ? Number(length) : -1;
  if (bytes === undefined || rest.length > 0 || size < 0 || size > bits) {
    throw new DomainError('request.invalid', `"${text.slice(0, 64)}" is neither an address nor a CIDR; write for example 10.0.0.5 or 10.0.0.0/8.`, pointer === undefined ? {} : { pointer });
  }
  return { bytes, length: size };
}

export function prefixContains(prefix: AddressPrefix, address: AddressBytes): boolean {
  if (prefix.bytes.length !== address.length) return false;
  const whole = prefix.length >> 3;
  for (let index = 0; index < whole; index++) if (prefix.bytes[index] !== address[index]) return false;
  const rest = prefix.length & 7;
  return rest === 0 || ((prefix.bytes[whole] ?? 0) ^ (address[whole] ?? 0)) >> (8 - rest) === 0;
}
