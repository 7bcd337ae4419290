import { MAX_SOFT_SETS, SOFT_RULES_TABLES, type KernelPort, type SoftImage } from '@palisade/dataplane';
import { rowKey, type MapSet } from './map-set.ts';

/** Writes the soft HTTP rules of a bank that is not in force: one map of one element for each set. */
export function writeSoftRules(kernel: KernelPort, maps: MapSet, { sets }: SoftImage, bank: number): void {
  const outer = maps.map('soft_rules');
  for (const [number, tables] of sets.entries()) {
    const inner = kernel.createMap({ name: 'soft_rules', type: 'array', keySize: 4, valueSize: SOFT_RULES_TABLES.size, maxEntries: 1 });
    try {
      kernel.update(inner, rowKey(0), tables);
      kernel.update(outer, rowKey(bank * MAX_SOFT_SETS + number), rowKey(inner));
    } finally {
      kernel.close(inner);
    }
  }
  const { keys, count } = kernel.readAll(outer);
  for (let at = 0; at < count; at += 1) {
    const key = keys.slice(at * 4, (at + 1) * 4);
    const row = new DataView(key.buffer).getUint32(0, true);
    if (Math.floor(row / MAX_SOFT_SETS) === bank && row % MAX_SOFT_SETS >= sets.length && kernel.lookup(outer, key) !== undefined) kernel.delete(outer, key);
  }
}
