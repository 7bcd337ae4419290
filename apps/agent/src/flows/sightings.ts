import type { KernelFlowBatch } from '@palisade/dataplane';
import { isSecondSighting } from './enrich-flow.ts';
import type { FlowNames } from './flow-names.ts';

/** Distinct (endpoint, source) pairs that are remembered; the outside world has no end. */
const MAX_KNOWN = 65_536;

/** Which rows another end of the same connection tells too; remembered by address, because nearly all rows ask the same. */
export class Sightings {
  readonly #known = new Map<number, boolean>();
  #names: FlowNames | undefined;

  isSecond(batch: KernelFlowBatch, row: number, names: FlowNames): boolean {
    if (!batch.isRepeat(row)) return false;
    if (names !== this.#names || this.#known.size >= MAX_KNOWN) {
      this.#names = names;
      this.#known.clear();
    }
    const key = batch.sourceKey(row);
    const known = key === undefined ? undefined : this.#known.get(key);
    if (known !== undefined) return known;
    const second = isSecondSighting(batch.event(row), names);
    if (key !== undefined) this.#known.set(key, second);
    return second;
  }
}
