import {
  ALL_CLASSES,
  BANK_STATE,
  LEARNED_ADDRESS,
  MAX_NAME_SELECTORS,
  NAME_CLASS_KEY,
  NAME_SELECTOR,
  bytesText,
  hex,
  nameKey,
  textBytes,
  unhex,
  type KernelPort,
  type NameImage,
} from '@palisade/dataplane';
import type { FqdnSelector } from '@palisade/policy';
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

/**
 * Takes a bit out of everything that holds it, because it is about to stand for another selector: of learned addresses, and
 * of rules on DNS. A bank whose rules lost a bit is not the one that its digest describes any more: it is written again
 * before it is next used.
 */
function forgetBit(kernel: KernelPort, maps: MapSet, bit: number, others: readonly number[]): void {
  const rules = maps.map('dns_rules');
  for (const key of keysOf(kernel, maps, 'dns_rules')) {
    const admitted = new DataView((kernel.lookup(rules, key) ?? new Uint8Array(8)).slice().buffer).getBigUint64(0, true);
    kernel.update(rules, key, value64(admitted & ~(1n << BigInt(bit))));
  }
  for (const bank of others) {
    const state = kernel.lookup(maps.map('bank_states'), rowKey(bank));
    if (state) kernel.update(maps.map('bank_states'), rowKey(bank), BANK_STATE.encode({ ...BANK_STATE.decode(state), names_digest: new Uint8Array(32) }));
  }
  const learned = maps.map('learned');
  for (const key of keysOf(kernel, maps, 'learned')) {
    const stored = kernel.lookup(learned, key);
    if (!stored) continue;
    const entry = LEARNED_ADDRESS.decode(stored);
    const selectors = entry.selectors & ~(1n << BigInt(bit));
    if (selectors !== entry.selectors) kernel.update(learned, key, LEARNED_ADDRESS.encode({ ...entry, selectors }));
  }
}

/** A row of `name_selectors` (`name:…`, `pattern:…`). */
export function selectorOf(text: string): FqdnSelector {
  const at = text.indexOf(':');
  return { kind: text.slice(0, at) === 'name' ? 'name' : 'pattern', value: text.slice(at + 1) };
}

/** Several selectors may be found under one key: a name, and the same name as a pattern. Keys in hex. */
function masksByKey(bits: ReadonlyMap<string, number>): Map<string, bigint> {
  const masks = new Map<string, bigint>();
  for (const [text, bit] of bits) {
    const key = nameKey(selectorOf(text));
    if (key) masks.set(hex(key), (masks.get(hex(key)) ?? 0n) | (1n << BigInt(bit)));
  }
  return masks;
}

/** Names no longer match a selector whose bit goes to another one. */
function dropSelector(kernel: KernelPort, maps: MapSet, text: string): void {
  if (text === '') return;
  const key = nameKey(selectorOf(text));
  if (key) kernel.delete(maps.map('names'), key);
}

/** Gives every selector a bit: the one it has, else a free one, else one that neither policy names any more. */
function assignBits(kernel: KernelPort, maps: MapSet, names: NameImage, bank: number): Map<string, number> {
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
    if (free < 0) forgetBit(kernel, maps, bit, [1 - bank]);
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
  const bits = assignBits(kernel, maps, names, bank);
  const bitOf = (text: string): bigint => 1n << BigInt(bits.get(text) ?? 0);
  const known = names.learned.reduce((mask, text) => mask | bitOf(text), 0n);
  const rowOf = { live: bank, shadow: bank + 2 };
  const classes = names.classes.map(({ set, baseClass, selectors, peerClass }) => {
    const mask = selectors.reduce((all, text) => all | bitOf(text), 0n);
    return [NAME_CLASS_KEY.encode({ bank: rowOf[set], base_class: baseClass, selectors: mask }), value64(BigInt(peerClass))] as const;
  });
  const masks = Object.values(rowOf).map((row) => [NAME_CLASS_KEY.encode({ bank: row, base_class: ALL_CLASSES }), value64(known)] as const);
  const rows = new Set(Object.values(rowOf));
  replace(kernel, maps, 'name_classes', [...classes, ...masks], (key) => rows.has(NAME_CLASS_KEY.decode(key).bank));
  // Selectors that only the policy in force names stay matched until the next change; the bank's mask hides them from this one.
  for (const [key, mask] of masksByKey(bits)) kernel.update(maps.map('names'), unhex(key), value64(mask));
  const numberOf = (key: Uint8Array): number => new DataView(key.buffer, key.byteOffset).getUint32(0, true);
  replace(
    kernel, maps, 'dns_rules',
    names.questions.map(({ l7, selectors }) => [rowKey(bank * 0x10000 + l7), value64(selectors.reduce((mask, text) => mask | bitOf(text), 0n))]),
    (key) => Math.floor(numberOf(key) / 0x10000) === bank,
  );
  replace(kernel, maps, 'resolvers', names.resolvers.map((key) => [key, rowKey(1)]), () => true);
}
