import { CONTROL, type Descriptor, type KernelPort } from '@palisade/dataplane';
import { DomainError } from '@palisade/errors';
import type { Pins } from './pins.ts';

const ZERO = new Uint8Array(4);

/** Key of an array map. */
export function rowKey(row: number): Uint8Array {
  const key = new Uint8Array(4);
  new DataView(key.buffer).setUint32(0, row, true);
  return key;
}

/** The pinned maps of one node, opened once and held. */
export class MapSet {
  readonly #kernel: KernelPort;
  readonly #pins: Pins;
  readonly #open = new Map<string, Descriptor>();

  constructor(kernel: KernelPort, pins: Pins) {
    this.#kernel = kernel;
    this.#pins = pins;
  }

  /** False before the first program was loaded. */
  exist(): boolean {
    return this.#find('control') !== undefined;
  }

  #find(name: string): Descriptor | undefined {
    const known = this.#open.get(name);
    if (known !== undefined) return known;
    const found = this.#kernel.openPin(this.#pins.map(name));
    if (found !== undefined) this.#open.set(name, found);
    return found;
  }

  /** @throws DomainError `kernel.load-failed` when no program has brought the map */
  map(name: string): Descriptor {
    const found = this.#find(name);
    if (found === undefined) throw new DomainError('kernel.load-failed', `The map ${name} is not pinned below ${this.#pins.maps}; load a program first.`);
    return found;
  }

  control(): ReturnType<typeof CONTROL.decode> {
    return CONTROL.decode(this.#kernel.lookup(this.map('control'), ZERO) ?? new Uint8Array(CONTROL.size));
  }

  writeControl(control: Parameters<typeof CONTROL.encode>[0]): void {
    this.#kernel.update(this.map('control'), ZERO, CONTROL.encode(control));
  }

  close(): void {
    for (const descriptor of this.#open.values()) this.#kernel.close(descriptor);
    this.#open.clear();
  }
}
