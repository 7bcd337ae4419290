import type { TcpConnection } from '../http-gate-messages.ts';
import { parseAddress } from './address.ts';
import { CONNECTION_KEY4, CONNECTION_KEY6 } from './layouts.ts';

const TCP = 6;

/** Numbers in network order, as the programs compare them: words and ports as the machine (little-endian) reads their bytes. */
function words(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / 4 }, (_, index) => view.getUint32(index * 4, true));
}

function swapped(port: number): number {
  return ((port & 0xff) << 8) | (port >> 8);
}

function isLower(one: readonly number[], other: readonly number[]): boolean {
  const at = one.findIndex((word, index) => word !== other[index]);
  return (one[at] ?? 0) <= (other[at] ?? 0);
}

/** The key under which the programs keep a TCP connection at the endpoint of `slot` (`connection_key_of` of connection.h). */
export function connectionKey({ client, server }: TcpConnection, slot: number): { readonly family: 4 | 6; readonly key: Uint8Array } {
  const parsed = parseAddress(client.address);
  const family = parsed.family === 4 ? 4 : 6;
  const from = { words: words(parsed.bytes), port: swapped(client.port) };
  const to = { words: words(parseAddress(server.address).bytes), port: swapped(server.port) };
  const [low, high] = isLower([...from.words, from.port], [...to.words, to.port]) ? [from, to] : [to, from];
  const common = { low_port_be: low.port, high_port_be: high.port, slot, protocol: TCP };
  if (family === 4) return { family, key: CONNECTION_KEY4.encode({ ...common, low: low.words[0] ?? 0, high: high.words[0] ?? 0 }) };
  return { family, key: CONNECTION_KEY6.encode({ ...common, low: low.words, high: high.words }) };
}
