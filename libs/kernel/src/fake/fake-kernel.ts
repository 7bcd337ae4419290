import { createHash } from 'node:crypto';
import type {
  CgroupKind,
  Descriptor,
  KernelPort,
  LinkInfo,
  LoadedObject,
  LoadRequest,
  MapContent,
  MapInfo,
  MapSpecification,
  NetfilterHook,
  NetworkInterface,
  ProgramInfo,
  Ring,
  TestRun,
} from '@palisade/dataplane';
import { DomainError } from '@palisade/errors';
import { FakeMap } from './fake-map.ts';
import { MAP_DEFINITIONS } from './map-definitions.ts';

interface FakeProgram {
  readonly info: ProgramInfo;
}

interface FakeLink {
  readonly id: number;
  readonly target:
    | { readonly kind: 'interface'; readonly ifindex: number }
    | { readonly kind: 'cgroup'; readonly path: string }
    | { readonly kind: 'netfilter' | 'tracepoint' };
  program: FakeProgram;
  attached: boolean;
}

type FakeObject = FakeMap | FakeProgram | FakeLink;

const PROCESSORS = 2;
const ELF = [0x7f, 0x45, 0x4c, 0x46];

/** What outlives processes: pins and interfaces. Several `FakeKernel`s on one machine are successive agent processes. */
export class FakeMachine {
  readonly pins = new Map<string, FakeObject>();
  readonly interfaces = new Map<string, number>();
  /** Name → kind, where it is no veth. */
  readonly kinds = new Map<string, string>();
  readonly watchers = new Set<() => void>();
  /** Path → number of the cgroup. */
  readonly cgroups = new Map<string, bigint>();
  /** `<ifindex> <side>` → program. */
  readonly clsact = new Map<string, FakeProgram>();
  readonly ringRecords: Uint8Array[] = [];
  #ids = 0;

  nextId(): number {
    this.#ids += 1;
    return this.#ids;
  }

  /** Adds an interface, or takes it away with everything attached to it. */
  setInterface(name: string, ifindex: number): void {
    if (ifindex === 0) this.interfaces.delete(name);
    else this.interfaces.set(name, ifindex);
    for (const changed of this.watchers) changed();
  }
}

/**
 * The kernel port in memory: maps, pins, links and programs behave towards user space as the kernel's do (the conformance suite
 * runs on both), but no packet is ever judged. For tests of what the agent does with the kernel.
 */
export class FakeKernel implements KernelPort {
  readonly #machine: FakeMachine;
  readonly #open = new Map<number, FakeObject>();
  readonly #features: Readonly<Record<string, boolean>>;
  #next = 3;

  constructor(machine: FakeMachine = new FakeMachine(), features: Readonly<Record<string, boolean>> = {}) {
    this.#machine = machine;
    this.#features = { btf: true, ringbuf: true, batch: true, tcx: true, 'netfilter-link': true, 'coarse-clock': true, tracepoint: true, 'execution-tracepoint': true, fentry: true, cgroup2: true, ...features };
  }

  #give(object: FakeObject): Descriptor {
    const descriptor = this.#next;
    this.#next += 1;
    this.#open.set(descriptor, object);
    return descriptor as Descriptor;
  }

  #take<T extends FakeObject>(descriptor: Descriptor, is: (object: FakeObject) => object is T): T {
    const found = this.#open.get(descriptor);
    if (!found || !is(found)) throw new DomainError('internal.unexpected', `Descriptor ${descriptor} is closed or of another kind.`, { params: { errno: 'EBADF' } });
    return found;
  }

  #map(descriptor: Descriptor): FakeMap {
    return this.#take(descriptor, (object) => object instanceof FakeMap);
  }

  #program(descriptor: Descriptor): FakeProgram {
    return this.#take(descriptor, (object): object is FakeProgram => 'info' in object && !(object instanceof FakeMap));
  }

  #link(descriptor: Descriptor): FakeLink {
    return this.#take(descriptor, (object): object is FakeLink => 'target' in object);
  }

  release(): string {
    return '6.18.0-fake';
  }

  features(): Readonly<Record<string, boolean>> {
    return this.#features;
  }

  processors(): number {
    return PROCESSORS;
  }

  waitForPrograms(): void {}

  routeMarkedHere(): void {}

  leaveUntracked(): number {
    return 0;
  }

  routeMarkedAsOthers(): void {}

  trackAgain(): void {}

  monotonicNs(): bigint {
    return process.hrtime.bigint();
  }

  inNetworkNamespace<T>(_path: string, work: () => T): T {
    return work();
  }

  interfaceIndex(name: string): number {
    return this.#machine.interfaces.get(name) ?? 0;
  }

  interfaces(): readonly NetworkInterface[] {
    return [...this.#machine.interfaces].map(([name, index]) => ({ index, name, kind: this.#machine.kinds.get(name) ?? 'veth', peer: 0, peerNamespace: -1 }));
  }

  namespaceOf(): number {
    return -1;
  }

  watchInterfaces(changed: () => void): () => void {
    this.#machine.watchers.add(changed);
    return () => this.#machine.watchers.delete(changed);
  }

  cgroupId(path: string): bigint {
    return this.#machine.cgroups.get(path) ?? 0n;
  }

  preparePins(): void {}

  pin(descriptor: Descriptor, path: string): void {
    const object = this.#open.get(descriptor);
    if (!object || this.#machine.pins.has(path)) throw new DomainError('kernel.attach-failed', `Pinning ${path}: it exists.`, { params: { errno: 'EEXIST' } });
    this.#machine.pins.set(path, object);
  }

  openPin(path: string): Descriptor | undefined {
    const found = this.#machine.pins.get(path);
    return found && this.#give(found);
  }

  listPins(folder: string): readonly string[] {
    const inside = [...this.#machine.pins.keys()].filter((path) => path.startsWith(`${folder}/`));
    return [...new Set(inside.map((path) => path.slice(folder.length + 1).split('/')[0] ?? ''))];
  }

  removePin(path: string): void {
    for (const [pin, object] of this.#machine.pins) {
      if (pin !== path && !pin.startsWith(`${path}/`)) continue;
      this.#machine.pins.delete(pin);
      if ('target' in object && !this.#isHeld(object)) object.attached = false;
    }
  }

  /** A link lives while a pin or a descriptor holds it. */
  #isHeld(object: FakeObject): boolean {
    return [...this.#machine.pins.values(), ...this.#open.values()].includes(object);
  }

  close(descriptor: Descriptor): void {
    const object = this.#open.get(descriptor);
    this.#open.delete(descriptor);
    if (object && 'target' in object && !this.#isHeld(object)) object.attached = false;
  }

  createMap(specification: MapSpecification): Descriptor {
    const { type, keySize, valueSize, maxEntries } = specification;
    return this.#give(new FakeMap({ id: this.#machine.nextId(), type, keySize, valueSize, maxEntries }, PROCESSORS));
  }

  mapInfo(map: Descriptor): MapInfo {
    return this.#map(map).info;
  }

  lookup(map: Descriptor, key: Uint8Array): Uint8Array | undefined {
    return this.#map(map).lookup(key);
  }

  update(map: Descriptor, key: Uint8Array, value: Uint8Array): void {
    this.#map(map).update(key, value);
  }

  delete(map: Descriptor, key: Uint8Array): boolean {
    return this.#map(map).delete(key);
  }

  updateBatch(map: Descriptor, keys: Uint8Array, values: Uint8Array, count: number): void {
    const [keySize, valueSize] = [keys.length / count, values.length / count];
    for (let at = 0; at < count; at += 1) {
      this.update(map, keys.subarray(at * keySize, (at + 1) * keySize), values.subarray(at * valueSize, (at + 1) * valueSize));
    }
  }

  deleteBatch(map: Descriptor, keys: Uint8Array, count: number): number {
    const size = keys.length / count;
    return Array.from({ length: count }, (_, at) => this.delete(map, keys.subarray(at * size, (at + 1) * size))).filter(Boolean).length;
  }

  readAll(map: Descriptor): MapContent {
    return this.#map(map).readAll();
  }

  openRing(map: Descriptor): Ring {
    this.#map(map);
    const records = this.#machine.ringRecords;
    return {
      drain: (into, recordSize) => {
        const taken = records.splice(0, Math.floor(into.length / recordSize));
        for (const [at, record] of taken.entries()) into.set(record.subarray(0, recordSize), at * recordSize);
        return taken.length;
      },
    };
  }

  load(request: LoadRequest): LoadedObject {
    if (!ELF.every((byte, at) => request.object[at] === byte)) {
      throw new DomainError('kernel.load-failed', 'The kernel refused the program object: it is no ELF file.', { params: { errno: 'ENOEXEC' } });
    }
    const tag = createHash('sha256').update(request.object).digest('hex').slice(0, 16);
    const maps = Object.entries(MAP_DEFINITIONS).map(([name, definition]) => {
      const pin = `${request.mapPins}/${name}`;
      const maxEntries = request.maxEntries?.[name] ?? definition.maxEntries;
      const found = request.mapPins === undefined ? undefined : this.#machine.pins.get(pin);
      const map = found ?? new FakeMap({ id: this.#machine.nextId(), ...definition, maxEntries }, PROCESSORS);
      if (request.mapPins !== undefined) this.#machine.pins.set(pin, map);
      return [name, this.#give(map)] as const;
    });
    const programs = request.programs.map(({ name }) => {
      const info = { id: this.#machine.nextId(), name: name.slice(0, 15), tag, verifiedInstructions: 1, runTimeNs: 0, runCount: 0 };
      return [name, this.#give({ info })] as const;
    });
    return { maps: Object.fromEntries(maps), programs: Object.fromEntries(programs) };
  }

  programInfo(program: Descriptor): ProgramInfo {
    return this.#program(program).info;
  }

  /** Programs judge nothing here: 0, the packet unchanged. */
  testRun(program: Descriptor, packet: Uint8Array): TestRun {
    this.#program(program);
    return { result: 0, packet, durationNs: 0 };
  }

  #attach(program: Descriptor, target: FakeLink['target']): Descriptor {
    return this.#give({ id: this.#machine.nextId(), target, program: this.#program(program), attached: true });
  }

  attachInterface(program: Descriptor, ifindex: number): Descriptor {
    if (![...this.#machine.interfaces.values()].includes(ifindex)) {
      throw new DomainError('kernel.attach-failed', `Attaching to interface ${ifindex}: there is none.`, { params: { errno: 'ENODEV' } });
    }
    return this.#attach(program, { kind: 'interface', ifindex });
  }

  attachClsact(program: Descriptor, ifindex: number, side: 'ingress' | 'egress'): void {
    if (![...this.#machine.interfaces.values()].includes(ifindex)) {
      throw new DomainError('kernel.attach-failed', `Attaching to clsact of interface ${ifindex}: there is none.`, { params: { errno: 'ENODEV' } });
    }
    this.#machine.clsact.set(`${ifindex} ${side}`, this.#program(program));
  }

  clsactProgram(ifindex: number, side: 'ingress' | 'egress'): number {
    const there = [...this.#machine.interfaces.values()].includes(ifindex);
    return there ? (this.#machine.clsact.get(`${ifindex} ${side}`)?.info.id ?? 0) : 0;
  }

  detachClsact(ifindex: number, side: 'ingress' | 'egress'): void {
    this.#machine.clsact.delete(`${ifindex} ${side}`);
  }

  attachNetfilter(program: Descriptor, _family: 4 | 6, _hook: NetfilterHook, _priority: number): Descriptor {
    return this.#attach(program, { kind: 'netfilter' });
  }

  attachTracepoint(program: Descriptor): Descriptor {
    return this.#attach(program, { kind: 'tracepoint' });
  }

  attachCgroup(program: Descriptor, cgroup: string, _kind: CgroupKind): Descriptor {
    if (!this.#machine.cgroups.has(cgroup)) throw new DomainError('kernel.attach-failed', `Attaching to the cgroup ${cgroup}: there is none.`, { params: { errno: 'ENOENT' } });
    return this.#attach(program, { kind: 'cgroup', path: cgroup });
  }

  updateLink(link: Descriptor, program: Descriptor): void {
    this.#link(link).program = this.#program(program);
  }

  linkInfo(link: Descriptor): LinkInfo {
    const found = this.#link(link);
    const here = found.target.kind === 'interface' && found.attached && [...this.#machine.interfaces.values()].includes(found.target.ifindex);
    const cgroupId = found.target.kind === 'cgroup' && found.attached ? this.cgroupId(found.target.path) : 0n;
    return { id: found.id, programId: found.program.info.id, ifindex: here && found.target.kind === 'interface' ? found.target.ifindex : 0, cgroupId };
  }

  detach(link: Descriptor): void {
    this.#link(link).attached = false;
  }
}
