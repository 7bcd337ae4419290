import { readFileSync } from 'node:fs';
import { MAPPED_ADDRESS, hex, mappedAddress, type KernelPort } from '@palisade/dataplane';
import { rowKey, type MapSet } from './map-set.ts';

const MAX_RESOLVERS = 64;
/** The second is what systemd-resolved asks on behalf of its own stub in the first. */
const RESOLVER_FILES = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'] as const;

/** Addresses of `nameserver` lines (resolv.conf(5)), without zones. */
export function nameservers(text: string): readonly string[] {
  return text.split('\n').flatMap((line) => {
    const [, address] = /^\s*nameserver\s+([0-9a-fA-F.:]+)/.exec(line) ?? [];
    return address === undefined ? [] : [address];
  });
}

/** The resolvers that this node is configured with. */
export function nodeResolvers(files: readonly string[] = RESOLVER_FILES): readonly string[] {
  const found = files.flatMap((file) => {
    try {
      return nameservers(readFileSync(file, 'utf8'));
    } catch {
      return [];
    }
  });
  return [...new Set(found)].slice(0, MAX_RESOLVERS);
}

/** Makes `resolvers` the addresses that host units always reach on port 53. */
export function writeLifelines(kernel: KernelPort, maps: MapSet, resolvers: readonly string[]): void {
  const map = maps.map('lifelines');
  const wanted = resolvers.slice(0, MAX_RESOLVERS).map((address) => MAPPED_ADDRESS.encode({ ...MAPPED_ADDRESS.decode(mappedAddress('', address)), network: 0 }));
  for (const key of wanted) kernel.update(map, key, rowKey(1));
  const kept = new Set(wanted.map(hex));
  const { keys, count } = kernel.readAll(map);
  for (let at = 0; at < count; at += 1) {
    const key = keys.slice(at * MAPPED_ADDRESS.size, (at + 1) * MAPPED_ADDRESS.size);
    if (!kept.has(hex(key))) kernel.delete(map, key);
  }
}
