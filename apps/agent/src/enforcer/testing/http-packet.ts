/** TCP segments that carry text, for the programs that read HTTP. */

import { TCP } from './packet.ts';

const PUSH = 0x08;

/** The first byte's number is `sequence`; `flags` besides ACK and, with payload, PSH. */
export function segment(sourcePort: number, destinationPort: number, sequence: number, payload: string | Uint8Array = '', flags = 0): Uint8Array {
  const bytes = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : Buffer.from(payload);
  const header = Buffer.alloc(20);
  header.writeUInt16BE(sourcePort, 0);
  header.writeUInt16BE(destinationPort, 2);
  header.writeUInt32BE(sequence >>> 0, 4);
  header[12] = 5 << 4;
  header[13] = TCP.ack | (bytes.length > 0 ? PUSH : 0) | flags;
  header.writeUInt16BE(512, 14);
  return Buffer.concat([header, bytes]);
}

/** The first bytes of a TLS ClientHello (RFC 8446 §5.1, §4). */
export const CLIENT_HELLO = Uint8Array.from([0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3, ...new Array<number>(64).fill(7)]);
