import type { Descriptor, KernelPort, MapSpecification } from '@palisade/dataplane';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAP_DEFINITIONS } from '../fake/map-definitions.ts';

export interface KernelUnderTest {
  readonly kernel: KernelPort;
  /** Folder for pins, removed by `dispose`. */
  readonly pins: string;
  /** An object that loads. */
  readonly object: Uint8Array;
  /** An interface that exists, in the namespace that `inPlace` enters. */
  readonly ifname: string;
  removeInterface(): void;
  inPlace<T>(work: () => T): T;
  dispose(): void;
}

function bytes(...values: number[]): Uint8Array {
  return new Uint8Array(new Uint32Array(values).buffer);
}

const HASH: MapSpecification = { name: 'conformance', type: 'hash', keySize: 4, valueSize: 8, maxEntries: 3, noPreallocation: true };

/** What every implementation of the kernel port does alike. */
export function kernelConformance(name: string, create: () => KernelUnderTest): void {
  describe(`the kernel port: ${name}`, () => {
    let subject: KernelUnderTest;
    let kernel: KernelPort;
    const opened: Descriptor[] = [];
    const map = (specification: MapSpecification): Descriptor => {
      const descriptor = kernel.createMap(specification);
      opened.push(descriptor);
      return descriptor;
    };
    const load = (): ReturnType<KernelPort['load']> => {
      const loaded = kernel.load({ object: subject.object, mapPins: `${subject.pins}/maps`, programs: [{ name: 'from_endpoint', kind: 'interface' }, { name: 'to_endpoint', kind: 'interface' }] });
      opened.push(...Object.values(loaded.maps), ...Object.values(loaded.programs));
      return loaded;
    };
    beforeAll(() => {
      subject = create();
      kernel = subject.kernel;
    });
    afterAll(() => {
      for (const descriptor of opened) kernel.close(descriptor);
      subject.dispose();
    });

    it('finds what was written to a hash and says whether it deleted something', () => {
      const hash = map(HASH);
      expect(kernel.lookup(hash, bytes(1))).toBeUndefined();
      kernel.update(hash, bytes(1), bytes(7, 8));
      expect(kernel.lookup(hash, bytes(1))).toEqual(bytes(7, 8));
      expect([kernel.delete(hash, bytes(1)), kernel.delete(hash, bytes(1))]).toEqual([true, false]);
    });
    it('refuses a new key in a full hash and still takes known ones', () => {
      const hash = map(HASH);
      kernel.updateBatch(hash, bytes(1, 2, 3), bytes(1, 0, 2, 0, 3, 0), 3);
      expect(() => kernel.update(hash, bytes(4), bytes(4, 0))).toThrow(expect.objectContaining({ code: 'kernel.map-full' }));
      kernel.update(hash, bytes(2), bytes(9, 0));
      expect(kernel.readAll(hash).count).toBe(3);
    });
    it('deletes a batch, skipping keys that are missing', () => {
      const hash = map(HASH);
      kernel.updateBatch(hash, bytes(1, 3), bytes(1, 0, 3, 0), 2);
      expect(kernel.deleteBatch(hash, bytes(1, 2, 3), 3)).toBe(2);
      expect(kernel.readAll(hash).count).toBe(0);
    });
    it('has every row of an array from the start and deletes none', () => {
      const array = map({ ...HASH, type: 'array', noPreallocation: false });
      expect(kernel.lookup(array, bytes(2))).toEqual(bytes(0, 0));
      expect(kernel.lookup(array, bytes(3))).toBeUndefined();
      expect(() => kernel.delete(array, bytes(0))).toThrow(expect.objectContaining({ code: 'internal.unexpected' }));
      expect(kernel.readAll(array).count).toBe(3);
    });
    it('answers a trie with the longest prefix', () => {
      const trie = map({ ...HASH, type: 'lpm-trie', keySize: 8 });
      kernel.update(trie, bytes(0, 0), bytes(1, 0));
      kernel.update(trie, bytes(8, 0x0a), bytes(2, 0));
      const address = (first: number, second: number): Uint8Array => bytes(32, first | (second << 8));
      expect([kernel.lookup(trie, address(10, 5)), kernel.lookup(trie, address(11, 5))]).toEqual([bytes(2, 0), bytes(1, 0)]);
      expect(kernel.readAll(trie).count).toBe(2);
    });
    it('keeps what is pinned after its descriptor is closed, until the pin is removed', () => {
      const hash = kernel.createMap(HASH);
      kernel.update(hash, bytes(5), bytes(5, 5));
      kernel.preparePins(subject.pins);
      kernel.pin(hash, `${subject.pins}/kept`);
      kernel.close(hash);
      const again = kernel.openPin(`${subject.pins}/kept`);
      expect(again && kernel.lookup(again, bytes(5))).toEqual(bytes(5, 5));
      if (again !== undefined) kernel.close(again);
      expect(kernel.listPins(subject.pins)).toContain('kept');
      kernel.removePin(`${subject.pins}/kept`);
      expect(kernel.openPin(`${subject.pins}/kept`)).toBeUndefined();
      expect(kernel.listPins(`${subject.pins}/nothing`)).toEqual([]);
    });
    it('creates the object’s maps as declared and uses pinned ones on the next load', () => {
      const first = load();
      for (const [own, definition] of Object.entries(MAP_DEFINITIONS)) {
        const descriptor = first.maps[own];
        expect(descriptor && kernel.mapInfo(descriptor)).toMatchObject(definition);
      }
      const control = first.maps['control'];
      if (control === undefined) throw new Error('no map control');
      const value = new Uint8Array(24).fill(1);
      kernel.update(control, bytes(0), value);
      const second = load().maps['control'];
      expect(second && kernel.lookup(second, bytes(0))).toEqual(value);
    });
    it('refuses an object that is none', () => {
      expect(() => kernel.load({ object: new Uint8Array(100), programs: [] })).toThrow(expect.objectContaining({ code: 'kernel.load-failed' }));
    });
    it('attaches to an interface, replaces the program of the link, and sees the interface go', () => {
      const { programs } = load();
      const [from, to] = [programs['from_endpoint'], programs['to_endpoint']];
      if (from === undefined || to === undefined) throw new Error('programs are missing');
      const ifindex = subject.inPlace(() => kernel.interfaceIndex(subject.ifname));
      expect(ifindex).toBeGreaterThan(0);
      expect(subject.inPlace(() => kernel.interfaceIndex('nowhere0'))).toBe(0);
      const link = subject.inPlace(() => kernel.attachInterface(from, ifindex, 'ingress'));
      opened.push(link);
      expect(kernel.linkInfo(link)).toMatchObject({ ifindex, programId: kernel.programInfo(from).id });
      kernel.updateLink(link, to);
      expect(kernel.linkInfo(link).programId).toBe(kernel.programInfo(to).id);
      subject.removeInterface();
      expect(kernel.linkInfo(link).ifindex).toBe(0);
      kernel.detach(link);
    });
    it('says when there is no such interface to attach to', () => {
      const program = load().programs['from_endpoint'];
      if (program === undefined) throw new Error('the program is missing');
      expect(() => subject.inPlace(() => kernel.attachInterface(program, 999_999, 'ingress'))).toThrow(expect.objectContaining({ code: 'kernel.attach-failed' }));
    });
    it('drains nothing from a ring that nobody wrote to', () => {
      const events = load().maps['events'];
      expect(events && kernel.openRing(events).drain(new Uint8Array(4096), 256)).toBe(0);
    });
  });
}
