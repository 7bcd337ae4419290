import {
  ALL_CLASSES,
  LEARNED_ADDRESS,
  MAX_NAME_SELECTORS,
  NAME_CLASS_KEY,
  NAME_SELECTOR,
  bytesText,
  hex,
  nameKey,
  textBytes,
  type KernelPort,
  type NameImage,
} from '@palisade/dataplane';
import { rowKey, type MapSet } from './map-set.ts';

function value64(value: bigint): Uint8Array {
  return new Uint8Array(new BigUint64Array([value]).buffer);
}

/** Keys of a map, one by one. */
function keysOf(kernel: KernelPort, maps: MapSet, name: string): Uint8Array[] {
  const content = kernel.readAll(maps.map(name));
  const size = content.count === 0 ? 0 : content.keys.length / content.count;
  return Array.from({ length: content.count }, (_, at) => content.keys.slice(at * size, (at + 1) * size));
}

/** Takes a bit out of every learned address, because it is about to stand for another selector. */
function forgetBit(kernel: KernelPort, maps: MapSet, bit: number): void {
  const learned = maps.map('learned');
  for (const key of keysOf(kernel, maps, 'learned')) {
    const stored = kernel.lookup(learned, key);
    if (!stored) continue;
    const entry = LEARNED_ADDRESS.decode(stored);
    const selectors = entry.selectors & ~(1n << BigInt(bit));
    if (selectors !== entry.selectors) kernel.update(learned, key, LEARNED_ADDRESS.encode({ ...entry, selectors }));
  }
}

/** Names no longer match a selector whose bit goes to another one. */
function dropSelector(kernel: KernelPort, maps: MapSet, text: string): void {
  const at = text.indexOf(':');
  if (at < 0) return;
  const key = nameKey({ kind: text.slice(0, at) === 'name' ? 'name' : 'pattern', value: text.slice(at + 1) });
  if (key) kernel.delete(maps.map('names'), key);
}

/** Gives every selector a bit: the one it has, else a free one, else one that neither policy names any more. */
function assignBits(kernel: KernelPort, maps: MapSet, names: NameImage): Map<string, number> {
  const table = maps.map('name_selectors');
  const rows = Array.from({ length: MAX_NAME_SELECTORS }, (_, bit) => bytesText(kernel.lookup(table, rowKey(bit)) ?? new Uint8Array()));
  const wanted = new Set(names.selectors.map(({ text }) => text));
  const bits = new Map(rows.flatMap((text, bit) => (text === '' ? [] : [[text, bit] as const])));
  for (const text of wanted) {
    if (bits.has(text)) continue;
    const free = rows.indexOf('');
    const bit = free >= 0 ? free : rows.findIndex((other) => !wanted.has(other));
    dropSelector(kernel, maps, rows[bit] ?? '');
    bits.delete(rows[bit] ?? '');
    forgetBit(kernel, maps, bit);
    kernel.update(table, rowKey(bit), NAME_SELECTOR.encode({ text: textBytes(text, NAME_SELECTOR.size) }));
    rows[bit] = text;
    bits.set(text, bit);
  }
  return bits;
}

/** Replaces the keys of a map by `entries`; what stays is never missing in between. */
function replace(kernel: KernelPort, maps: MapSet, name: string, entries: readonly (readonly [Uint8Array, Uint8Array])[], owned: (key: Uint8Array) => boolean): void {
  const map = maps.map(name);
  for (const [key, value] of entries) kernel.update(map, key, value);
  const kept = new Set(entries.map(([key]) => hex(key)));
  for (const key of keysOf(kernel, maps, name)) if (owned(key) && !kept.has(hex(key))) kernel.delete(map, key);
}

/** Writes selectors, resolvers and the classes of a bank that is not in force. Learned addresses stay. */
export function writeNames(kernel: KernelPort, maps: MapSet, names: NameImage, bank: number): void {
  const bits = assignBits(kernel, maps, names);
  const bitOf = (text: string): bigint => 1n << BigInt(bits.get(text) ?? 0);
  const known = names.selectors.reduce((mask, { text }) => mask | bitOf(text), 0n);
  const rowOf = { live: bank, shadow: bank + 2 };
  const classes = names.classes.map(({ set, baseClass, selectors, peerClass }) => {
    const mask = selectors.reduce((all, text) => all | bitOf(text), 0n);
    return [NAME_CLASS_KEY.encode({ bank: rowOf[set], base_class: baseClass, selectors: mask }), value64(BigInt(peerClass))] as const;
  });
  const masks = Object.values(rowOf).map((row) => [NAME_CLASS_KEY.encode({ bank: row, base_class: ALL_CLASSES }), value64(known)] as const);
  const rows = new Set(Object.values(rowOf));
  replace(kernel, maps, 'name_classes', [...classes, ...masks], (key) => rows.has(NAME_CLASS_KEY.decode(key).bank));
  // Selectors that only the policy in force names stay matched until the next change; the bank's mask hides them from this one.
  for (const { text, key } of names.selectors) kernel.update(maps.map('names'), key, value64(bitOf(text)));
  replace(kernel, maps, 'resolvers', names.resolvers.map((key) => [key, rowKey(1)]), () => true);
}
