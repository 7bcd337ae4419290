/** IP addresses and prefixes as 32-bit words: exact, allocation-light and free of BigInt on the verdict path. */

export type IpFamily = 4 | 6;

/** One word for IPv4, four for IPv6, most significant first, each an unsigned 32-bit number. */
export interface IpAddress {
  readonly family: IpFamily;
  readonly words: readonly number[];
}

/** A network: bits beyond `length` are zero. */
export interface IpPrefix extends IpAddress {
  readonly length: number;
}

export const ADDRESS_BITS: Readonly<Record<IpFamily, number>> = { 4: 32, 6: 128 };

/** Reads dotted IPv4 or RFC 4291 IPv6 text; undefined for anything else (leading zeros, zones, spaces). */
export function parseAddress(text: string): IpAddress | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): IpAddress | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let word = 0;
  for (const part of match.slice(1)) {
    const octet = Number(part);
    if (octet > 255 || (part.length > 1 && part.startsWith('0'))) return undefined;
    word = word * 256 + octet;
  }
  return { family: 4, words: [word] };
}

function parseIpv6(text: string): IpAddress | undefined {
  if (text.length > 45) return undefined;
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const words = [0, 2, 4, 6].map((i) => (groups[i] ?? 0) * 0x10000 + (groups[i + 1] ?? 0));
  return { family: 6, words };
}

/** 16-bit groups of one side of `::`; the last may be dotted IPv4 where the side ends the address. */
function parseGroups(text: string, last: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const embedded = last && i === parts.length - 1 ? parseIpv4(part)?.words[0] : undefined;
    if (embedded === undefined) return undefined;
    groups.push(Math.floor(embedded / 0x10000), embedded % 0x10000);
  }
  return groups;
}

/** Reads `address/length`, host bits cleared; undefined for anything else. */
export function parsePrefix(text: string): IpPrefix | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const address = parseAddress(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === undefined || !/^(0|[1-9]\d{0,2})$/.test(digits)) return undefined;
  const length = Number(digits);
  return length > ADDRESS_BITS[address.family] ? undefined : networkOf(address, length);
}

/** The prefix of `length` bits that holds the address. */
export function networkOf(address: IpAddress, length: number): IpPrefix {
  return { family: address.family, words: address.words.map((word, i) => (word & maskOf(length - i * 32)) >>> 0), length };
}

/** Mask of the first `bits` of a word, clamped to 0..32. */
function maskOf(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? 0xffffffff : (0xffffffff << (32 - bits)) >>> 0;
}

export function prefixContains(prefix: IpPrefix, address: IpAddress): boolean {
  if (prefix.family !== address.family) return false;
  for (let i = 0, bits = prefix.length; bits > 0; i++, bits -= 32) {
    if ((((prefix.words[i] ?? 0) ^ (address.words[i] ?? 0)) & maskOf(bits)) !== 0) return false;
  }
  return true;
}

/** True when every address of `inner` is in `outer`. */
export function prefixCovers(outer: IpPrefix, inner: IpPrefix): boolean {
  return outer.length <= inner.length && prefixContains(outer, inner);
}

/** Canonical text: dotted IPv4, RFC 5952 IPv6. */
export function formatAddress(address: IpAddress): string {
  if (address.family === 4) {
    const word = address.words[0] ?? 0;
    return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.');
  }
  const groups = address.words.flatMap((word) => [word >>> 16, word & 0xffff]);
  const run = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (run.length < 2) return hex.join(':');
  return `${hex.slice(0, run.start).join(':')}::${hex.slice(run.start + run.length).join(':')}`;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (start + length < groups.length && groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

export function formatPrefix(prefix: IpPrefix): string {
  return `${formatAddress(prefix)}/${prefix.length}`;
}
