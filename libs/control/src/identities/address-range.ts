import { BlockList, isIP, SocketAddress } from 'node:net';

/** The one textual form of an address (RFC 5952 for IPv6), or null for anything that is none. */
export function canonicalAddress(text: string): string | null {
  const version = isIP(text);
  if (version === 0 || text.includes('%')) return null;
  return new SocketAddress({ address: text, family: version === 4 ? 'ipv4' : 'ipv6' }).address;
}

/** True when the address is in the CIDR; false also for a malformed CIDR. */
export function addressWithin(address: string, cidr: string): boolean {
  const [base, bits] = cidr.split('/');
  const family = isIP(base ?? '');
  const prefix = Number(bits);
  if (family === 0 || isIP(address) !== family || !Number.isInteger(prefix) || prefix < 0 || prefix > (family === 4 ? 32 : 128)) return false;
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  const block = new BlockList();
  block.addSubnet(base!, prefix, kind);
  return block.check(address, kind);
}
