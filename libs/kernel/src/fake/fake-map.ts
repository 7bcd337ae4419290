import type { MapContent, MapInfo } from '@palisade/dataplane';
import { DomainError } from '@palisade/errors';

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** One map in memory with the semantics that user space sees. */
export class FakeMap {
  readonly info: MapInfo;
  readonly #values = new Map<string, Uint8Array>();
  readonly #stride: number;

  constructor(info: MapInfo, processors: number) {
    this.info = info;
    this.#stride = info.type === 'percpu-array' ? Math.ceil(info.valueSize / 8) * 8 * processors : info.valueSize;
  }

  get #isArray(): boolean {
    return this.info.type === 'array' || this.info.type === 'percpu-array';
  }

  #inRange(key: Uint8Array): boolean {
    return new DataView(key.buffer, key.byteOffset).getUint32(0, true) < this.info.maxEntries;
  }

  lookup(key: Uint8Array): Uint8Array | undefined {
    if (this.info.type === 'lpm-trie') return this.#longestPrefix(key);
    const found = this.#values.get(text(key));
    if (found) return found.slice();
    return this.#isArray && this.#inRange(key) ? new Uint8Array(this.#stride) : undefined;
  }

  #longestPrefix(key: Uint8Array): Uint8Array | undefined {
    const bits = (bytes: Uint8Array, length: number): string => [...bytes.subarray(4)].map((byte) => byte.toString(2).padStart(8, '0')).join('').slice(0, length);
    const wanted = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
    let best: { length: number; value: Uint8Array } | undefined;
    for (const [stored, value] of this.#values) {
      const own = Uint8Array.from(Buffer.from(stored, 'hex'));
      const length = new DataView(own.buffer).getUint32(0, true);
      if (length <= wanted && bits(own, length) === bits(key, length) && length >= (best?.length ?? 0)) best = { length, value };
    }
    return best?.value.slice();
  }

  /** @throws DomainError `kernel.map-full` when a new key finds no room (a table that evicts makes some) */
  update(key: Uint8Array, value: Uint8Array): void {
    const name = text(key);
    const isRow = this.#isArray || this.info.type === 'array-of-maps';
    // Storage of cgroups has no bound of its own.
    const full = this.info.type === 'other' ? false : isRow ? !this.#inRange(key) : !this.#values.has(name) && this.#values.size >= this.info.maxEntries;
    if (full && this.info.type === 'lru-hash') this.#values.delete(this.#values.keys().next().value ?? '');
    else if (full) throw new DomainError('kernel.map-full', `Writing a map: it holds ${this.info.maxEntries} entries already.`, { params: { errno: 'E2BIG' } });
    this.#values.set(name, value.slice(0, this.#stride));
  }

  /** @throws DomainError `internal.unexpected`: elements of arrays cannot be deleted */
  delete(key: Uint8Array): boolean {
    if (this.#isArray) throw new DomainError('internal.unexpected', 'Deleting from a map: elements of arrays cannot be deleted.', { params: { errno: 'EINVAL' } });
    return this.#values.delete(text(key));
  }

  readAll(): MapContent {
    const rows: [Uint8Array, Uint8Array][] = this.#isArray
      ? Array.from({ length: this.info.maxEntries }, (_, row) => {
          const key = new Uint8Array(new Uint32Array([row]).buffer);
          return [key, this.lookup(key) ?? new Uint8Array(this.#stride)];
        })
      : [...this.#values].map(([key, value]) => [Uint8Array.from(Buffer.from(key, 'hex')), value]);
    return { keys: Buffer.concat(rows.map(([key]) => key)), values: Buffer.concat(rows.map(([, value]) => value)), count: rows.length };
  }
}
