/** Reads DNS messages (RFC 1035 §4.1) that strangers wrote: bounded, and nothing is guessed. */

import { formatAddress } from './abi/address.ts';

const HEADER = 12;
const MAX_NAME = 253;
/** Compression pointers that are followed in one name; each must point backwards. */
const MAX_JUMPS = 16;
const MAX_RECORDS = 64;
const TYPE_A = 1;
const TYPE_AAAA = 28;

export interface DnsAnswerAddress {
  readonly address: string;
  readonly ttlSeconds: number;
}

export interface DnsMessage {
  /** The question's name, lower case, without the final dot; `.` is the root. Bytes that no host name has are written `\ddd`. */
  readonly name: string;
  /** RR TYPE of the question. */
  readonly type: number;
  /** RCODE without the extension of EDNS. */
  readonly rcode: number;
  /** Of A and AAAA records in the answer section, in order, as far as they could be read. */
  readonly addresses: readonly DnsAnswerAddress[];
}

interface Place {
  at: number;
}

function labelText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    const lower = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
    const plain = lower > 0x20 && lower < 0x7f && lower !== 0x2e && lower !== 0x5c;
    text += plain ? String.fromCharCode(lower) : `\\${String(lower).padStart(3, '0')}`;
  }
  return text;
}

/** Moves `place` behind the name. @returns undefined where it is no name */
function readName(bytes: Uint8Array, place: Place): string | undefined {
  const labels: string[] = [];
  let { at } = place;
  let jumps = 0;
  let size = 0;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return undefined;
    if (length >= 0xc0) {
      const target = ((length & 0x3f) << 8) | (bytes[at + 1] ?? 0);
      if (bytes[at + 1] === undefined || target >= at || (jumps += 1) > MAX_JUMPS) return undefined;
      if (jumps === 1) place.at = at + 2;
      at = target;
      continue;
    }
    if (length > 63 || at + 1 + length > bytes.length) return undefined;
    if (length === 0) break;
    size += length + 1;
    if (size > MAX_NAME + 1) return undefined;
    labels.push(labelText(bytes.subarray(at + 1, at + 1 + length)));
    at += 1 + length;
  }
  if (jumps === 0) place.at = at + 1;
  return labels.length === 0 ? '.' : labels.join('.');
}

function readAddresses(bytes: Uint8Array, view: DataView, place: Place, count: number): DnsAnswerAddress[] {
  const addresses: DnsAnswerAddress[] = [];
  for (let record = 0; record < Math.min(count, MAX_RECORDS); record += 1) {
    if (readName(bytes, place) === undefined || place.at + 10 > bytes.length) break;
    const type = view.getUint16(place.at);
    const ttlSeconds = view.getUint32(place.at + 4);
    const length = view.getUint16(place.at + 8);
    const data = bytes.subarray(place.at + 10, place.at + 10 + length);
    if (data.length < length) break;
    if (type === TYPE_A && length === 4) addresses.push({ address: formatAddress(data, 4), ttlSeconds });
    if (type === TYPE_AAAA && length === 16) addresses.push({ address: formatAddress(data, 6), ttlSeconds });
    place.at += 10 + length;
  }
  return addresses;
}

/** @returns undefined where the message has no question that can be read. What was cut off at the end is left out. */
export function readDnsMessage(bytes: Uint8Array): DnsMessage | undefined {
  if (bytes.length < HEADER) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint16(4) !== 1) return undefined;
  const place = { at: HEADER };
  const name = readName(bytes, place);
  if (name === undefined || place.at + 4 > bytes.length) return undefined;
  const type = view.getUint16(place.at);
  place.at += 4;
  return { name, type, rcode: (bytes[3] ?? 0) & 0x0f, addresses: readAddresses(bytes, view, place, view.getUint16(6)) };
}
