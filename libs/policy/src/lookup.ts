/** The kernel's lookup in TypeScript: what the datapath does with a `ResolvedNode`, step for step (see resolution.ts). */

import { canonicalName, compileFqdnSelector } from './fqdn-pattern.ts';
import { formatPrefix, networkOf, parseAddress, parsePrefix, ADDRESS_BITS, type IpAddress, type IpFamily } from './ip-address.ts';
import { ANY_CLASS, type AddressClass, type Direction, type FqdnBinding, type PolicyEntry, type ResolvedNode } from './resolution.ts';

/** Protocol by IANA number; `port`: destination port, ICMP: the type, protocols without ports: 0. */
export interface LookupKey {
  readonly direction: Direction;
  readonly peerClass: number;
  readonly protocol: number;
  readonly port: number;
}

/** Maps of one node as the kernel holds them. */
export class LookupTables {
  private readonly endpoints = new Map<string, EndpointTable>();
  private readonly classes = new Map<string, AddressClass>();
  private readonly fqdn: FqdnBinding;
  private readonly selectors: readonly ((name: string) => boolean)[];
  private readonly lengths: Readonly<Record<IpFamily, Set<number>>> = { 4: new Set(), 6: new Set() };

  constructor(node: Pick<ResolvedNode, 'endpoints' | 'addresses' | 'fqdn'>) {
    this.fqdn = node.fqdn;
    this.selectors = node.fqdn.selectors.map(compileFqdnSelector);
    for (const { key, entries } of node.endpoints) this.endpoints.set(key, new EndpointTable(entries));
    for (const address of node.addresses) {
      const prefix = parsePrefix(address.cidr);
      if (prefix === undefined) throw new RangeError(`"${address.cidr}" is not a CIDR: the resolver must emit canonical prefixes.`);
      this.classes.set(`${address.network}|${address.cidr}`, address);
      this.lengths[prefix.family].add(prefix.length);
    }
  }

  /** The longest prefix that holds the address; undefined only for networks that the facts do not know. */
  classOf(network: string, address: string): AddressClass | undefined {
    const parsed = parseAddress(address);
    return parsed === undefined ? undefined : this.longestMatch(network, parsed);
  }

  /**
   * Class of an outside address that was learned by DNS under `names`; its own class where no selector matches. A set of
   * selectors without a class of its own takes the largest listed subset, which can only be allowed less.
   */
  classOfLearned(network: string, address: string, names: readonly string[]): number | undefined {
    const baseClass = this.classOf(network, address)?.peerClass;
    const held = this.selectors.flatMap((test, i) => (names.some((name) => test(canonicalName(name))) ? [i] : []));
    const fitting = this.fqdn.classes.filter((entry) => entry.baseClass === baseClass && entry.selectors.every((selector) => held.includes(selector)));
    return fitting.reduce((best, entry) => (entry.selectors.length > best.size ? { size: entry.selectors.length, peerClass: entry.peerClass } : best), { size: 0, peerClass: baseClass }).peerClass;
  }

  /** Undefined: no entry, the endpoint is not restricted (allow). Endpoints that the node does not have have no entries. */
  lookup(endpoint: string, key: LookupKey): PolicyEntry | undefined {
    return this.endpoints.get(endpoint)?.lookup(key);
  }

  private longestMatch(network: string, address: IpAddress): AddressClass | undefined {
    for (let length = ADDRESS_BITS[address.family]; length >= 0; length--) {
      if (!this.lengths[address.family].has(length)) continue;
      const found = this.classes.get(`${network}|${formatPrefix(networkOf(address, length))}`);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

class EndpointTable {
  private readonly entries = new Map<string, PolicyEntry>();
  private readonly lengths: Readonly<Record<Direction, number[]>> = { ingress: [], egress: [] };

  constructor(entries: readonly PolicyEntry[]) {
    for (const entry of entries) {
      this.entries.set(entryKey(entry.direction, entry.peerClass, entry.protocol, entry.portPrefixLength, entry.port), entry);
      const lengths = this.lengths[entry.direction];
      if (entry.protocol !== 0 && !lengths.includes(entry.portPrefixLength)) lengths.push(entry.portPrefixLength);
    }
    for (const lengths of Object.values(this.lengths)) lengths.sort((a, b) => b - a);
  }

  lookup({ direction, peerClass, protocol, port }: LookupKey): PolicyEntry | undefined {
    for (const peer of [peerClass, ANY_CLASS]) {
      for (const length of this.lengths[direction]) {
        const found = this.entries.get(entryKey(direction, peer, protocol, length, maskPort(port, length)));
        if (found !== undefined) return found;
      }
      const found = this.entries.get(entryKey(direction, peer, 0, 0, 0));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

function maskPort(port: number, length: number): number {
  return (port >>> (16 - length)) << (16 - length);
}

function entryKey(direction: Direction, peer: number, protocol: number, length: number, port: number): string {
  return `${direction}|${peer}|${protocol}|${length}|${port}`;
}

/** One lookup without keeping the tables. For many, build `LookupTables`. */
export function lookupVerdict(node: Pick<ResolvedNode, 'endpoints' | 'addresses' | 'fqdn'>, endpoint: string, key: LookupKey): PolicyEntry | undefined {
  return new LookupTables(node).lookup(endpoint, key);
}
