/** DNS messages for the programs (RFC 1035 §4.1). */

import { parseAddress } from '@palisade/dataplane';

export type DnsRecord =
  | { readonly type: 'A' | 'AAAA'; readonly address: string; readonly ttl?: number; readonly owner?: string }
  | { readonly type: 'CNAME'; readonly target: string; readonly owner?: string };

const TYPE = { A: 1, CNAME: 5, AAAA: 28 } as const;

function name(text: string): number[] {
  return [...text.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]), 0];
}

function u16(value: number): number[] {
  return [value >> 8, value & 0xff];
}

export interface DnsMessage {
  readonly id: number;
  readonly name: string;
  readonly type?: 'A' | 'AAAA';
  readonly answers?: readonly DnsRecord[];
  readonly truncated?: boolean;
  readonly rcode?: number;
}

/** A query, or an answer where `answers` is given. Owners are pointers to the question unless they are spelt out. */
export function dnsMessage({ id, name: asked, type = 'A', answers, truncated, rcode = 0 }: DnsMessage): Uint8Array {
  const records = (answers ?? []).flatMap((record) => {
    const data = record.type === 'CNAME' ? name(record.target) : [...parseAddress(record.address).bytes];
    const ttl = record.type === 'CNAME' ? 60 : (record.ttl ?? 60);
    const owner = record.owner === undefined ? [0xc0, 12] : name(record.owner);
    return [...owner, ...u16(TYPE[record.type]), 0, 1, ...u16(ttl >> 16), ...u16(ttl & 0xffff), ...u16(data.length), ...data];
  });
  const flags = answers ? [0x81 | (truncated ? 2 : 0), 0x80 | rcode] : [1, 0];
  return Uint8Array.from([...u16(id), ...flags, 0, 1, ...u16(answers?.length ?? 0), 0, 0, 0, 0, ...name(asked), ...u16(TYPE[type]), 0, 1, ...records]);
}

/** UDP around it. */
export function dnsPacket(sourcePort: number, destinationPort: number, message: Uint8Array): Uint8Array {
  return Uint8Array.from([...u16(sourcePort), ...u16(destinationPort), ...u16(8 + message.length), 0, 0, ...message]);
}
