/** CIDRs as policies write them, to canonical text. */

import { formatPrefix, parseAddress, parsePrefix, prefixCovers, type IpPrefix } from '@palisade/policy';
import type { SourceNode } from '../source/source-node.ts';
import { text } from './readers.ts';
import { quoted, type Reader, type Reading } from './reading.ts';

/** `10.0.0.0/8` or `2001:db8::/32`; host bits are allowed and mean nothing. */
export const cidr: Reader<IpPrefix> = (node, reading) => {
  const given = text('A CIDR')(node, reading);
  if (given === undefined) return undefined;
  return parsePrefix(given) ?? reading.error(node, 'cidr.invalid', `${quoted(given)} is not a CIDR: ${faultOf(given)}.`);
};

function faultOf(given: string): string {
  const address = parseAddress(given);
  if (address !== undefined) return `an address alone has no prefix length, write ${quoted(`${given}/${address.family === 4 ? 32 : 128}`)}`;
  const slash = given.lastIndexOf('/');
  const family = slash < 0 ? undefined : parseAddress(given.slice(0, slash))?.family;
  if (family !== undefined) return `the prefix length of IPv${family} is 0 to ${family === 4 ? 32 : 128}, without leading zeros`;
  return 'write an IPv4 or IPv6 address without leading zeros, "/" and the prefix length';
}

/** Reports exceptions that do not lie in `outer`; `strict`: nor equal it. */
export function checkExceptions(outer: IpPrefix, except: readonly IpPrefix[], strict: boolean, nodes: readonly SourceNode[], reading: Reading): void {
  for (const [i, hole] of except.entries()) {
    const node = nodes[i];
    if (node === undefined || (prefixCovers(outer, hole) && (!strict || hole.length > outer.length))) continue;
    reading.error(
      node,
      'cidr.except',
      `The exception ${formatPrefix(hole)} is no ${strict ? 'smaller ' : ''}part of ${formatPrefix(outer)}: an exception only takes away from its own CIDR.`,
    );
  }
}
