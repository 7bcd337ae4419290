import { ENDPOINT, MAX_DIRECT_IFINDEX, type AttachmentTarget, type CgroupKind, type Descriptor, type EndpointImage, type KernelPort, type ObservedLinks } from '@palisade/dataplane';
import { DomainError } from '@palisade/errors';
import { rowKey, type MapSet } from './map-set.ts';
import { CLSACT } from './pinned-links.ts';
import type { Pins } from './pins.ts';
import type { ProgramName, ProgramSet } from './program-set.ts';

type Side = 'ingress' | 'egress';

const INTERFACE_HOOKS = [
  { side: 'ingress', program: 'from_endpoint' },
  { side: 'egress', program: 'to_endpoint' },
] as const satisfies readonly { readonly side: Side; readonly program: ProgramName }[];

const CGROUP_HOOKS = [
  { side: 'unit-egress', program: 'from_host_unit', kind: 'cgroup-egress' },
  { side: 'unit-ingress', program: 'to_host_unit', kind: 'cgroup-ingress' },
  { side: 'unit-connect4', program: 'host_connect4', kind: 'cgroup-connect4' },
  { side: 'unit-connect6', program: 'host_connect6', kind: 'cgroup-connect6' },
  { side: 'unit-sendmsg4', program: 'host_sendmsg4', kind: 'cgroup-sendmsg4' },
  { side: 'unit-sendmsg6', program: 'host_sendmsg6', kind: 'cgroup-sendmsg6' },
] as const satisfies readonly { readonly side: string; readonly program: ProgramName; readonly kind: CgroupKind }[];

export function interfaceTarget(ifindex: number): AttachmentTarget {
  return `interface:${ifindex}`;
}

export function cgroupTarget(id: bigint): AttachmentTarget {
  return `cgroup:${id}`;
}

/** Interface index of a target; 0 where it is none. */
export function ifindexOf(target: AttachmentTarget | undefined): number {
  return target?.startsWith('interface:') === true ? Number(target.slice(10)) : 0;
}

/** Where the programs of endpoints hang: TCX links, clsact filters, cgroup links. All of them are read back from the kernel. */
export class Attachments {
  readonly #kernel: KernelPort;
  readonly #maps: MapSet;
  readonly #pins: Pins;
  readonly #programs: ProgramSet;

  constructor(kernel: KernelPort, maps: MapSet, pins: Pins, programs: ProgramSet) {
    this.#kernel = kernel;
    this.#maps = maps;
    this.#pins = pins;
    this.#programs = programs;
  }

  /** Slot → the rest of its pins' names. */
  #pinned(): Map<number, string[]> {
    const slots = new Map<number, string[]>();
    for (const name of this.#kernel.listPins(this.#pins.links)) {
      const at = name.indexOf('-');
      const slot = Number(name.slice(0, at));
      slots.set(slot, [...(slots.get(slot) ?? []), name.slice(at + 1)]);
    }
    return slots;
  }

  /** @param programDigest attachments count as current when they run the pinned programs of this digest */
  read(programDigest: string): ObservedLinks[] {
    const ids = new Map<string, number>();
    const wanted = (program: ProgramName): number => {
      let id = ids.get(program);
      if (id === undefined) {
        const descriptor = this.#kernel.openPin(this.#pins.program(programDigest, program));
        id = descriptor === undefined ? 0 : this.#kernel.programInfo(descriptor).id;
        if (descriptor !== undefined) this.#kernel.close(descriptor);
        ids.set(program, id);
      }
      return id;
    };
    return [...this.#pinned()].sort(([a], [b]) => a - b).map(([slot, sides]) => this.#readSlot(slot, sides, wanted));
  }

  #readSlot(slot: number, sides: readonly string[], wanted: (program: ProgramName) => number): ObservedLinks {
    const clsact = CLSACT.exec(sides[0] ?? '');
    if (clsact) return this.#readClsact(slot, Number(clsact[1]), wanted);
    const hooks = sides.includes('ingress') || sides.includes('egress') ? INTERFACE_HOOKS : CGROUP_HOOKS;
    const links = hooks.map(({ side, program }) => {
      const descriptor = this.#kernel.openPin(this.#pins.link(slot, side));
      if (descriptor === undefined) return { target: '', current: false };
      try {
        const info = this.#kernel.linkInfo(descriptor);
        const target = info.ifindex !== 0 ? interfaceTarget(info.ifindex) : info.cgroupId !== 0n ? cgroupTarget(info.cgroupId) : '';
        return { target, current: info.programId === wanted(program) };
      } finally {
        this.#kernel.close(descriptor);
      }
    });
    const target = links[0]?.target ?? '';
    return { slot, target: links.every((link) => link.target === target) ? target : '', currentPrograms: links.every((link) => link.current) };
  }

  #readClsact(slot: number, ifindex: number, wanted: (program: ProgramName) => number): ObservedLinks {
    const found = INTERFACE_HOOKS.map(({ side, program }) => ({ id: this.#kernel.clsactProgram(ifindex, side), wanted: wanted(program) }));
    return {
      slot,
      target: found.every(({ id }) => id !== 0) ? interfaceTarget(ifindex) : '',
      currentPrograms: found.every((hook) => hook.id === hook.wanted),
    };
  }

  /** Attaches every hook of the endpoint, or none. @throws DomainError `kernel.attach-failed` */
  attach(endpoint: EndpointImage, target: AttachmentTarget, programDigest: string): void {
    const value = ENDPOINT.encode({ slot: endpoint.slot, identity: endpoint.identity, network: endpoint.network, present: 1 });
    try {
      if (endpoint.attach.kind === 'cgroup') this.#attachCgroup(endpoint.slot, endpoint.attach.path, target, programDigest, value);
      else this.#attachInterface(endpoint.slot, ifindexOf(target), programDigest, value);
    } catch (error) {
      this.detach(endpoint.slot);
      throw error;
    }
  }

  #attachInterface(slot: number, ifindex: number, programDigest: string, value: Uint8Array): void {
    this.#writeEndpoint(ifindex, value);
    if (this.#kernel.features()['tcx'] !== true) {
      this.#attachClsact(slot, ifindex, programDigest);
      return;
    }
    for (const { side, program } of INTERFACE_HOOKS) {
      this.#withProgram(programDigest, program, (descriptor) => this.#keep(this.#kernel.attachInterface(descriptor, ifindex, side), slot, side));
    }
  }

  /** The pin is made first: whatever is attached afterwards is found and taken away by the next agent. */
  #attachClsact(slot: number, ifindex: number, programDigest: string): void {
    this.#withProgram(programDigest, 'from_endpoint', (descriptor) => this.#kernel.pin(descriptor, this.#pins.link(slot, `clsact_${ifindex}`)));
    for (const { side, program } of INTERFACE_HOOKS) {
      this.#withProgram(programDigest, program, (descriptor) => this.#kernel.attachClsact(descriptor, ifindex, side));
    }
  }

  /** The unit's value exists once a hook is attached, and puts all of them in force at once. */
  #attachCgroup(slot: number, path: string, target: AttachmentTarget, programDigest: string, value: Uint8Array): void {
    for (const { side, program, kind } of CGROUP_HOOKS) {
      this.#withProgram(programDigest, program, (descriptor) => this.#keep(this.#kernel.attachCgroup(descriptor, path, kind), slot, side));
    }
    const id = BigInt(target.slice('cgroup:'.length));
    if (this.#kernel.cgroupId(path) !== id) throw new DomainError('kernel.attach-failed', `The cgroup ${path} was replaced while it was being attached; it is tried again.`);
    this.#kernel.update(this.#maps.map('host_units'), new Uint8Array(new BigUint64Array([id]).buffer), value);
  }

  #keep(link: Descriptor, slot: number, side: string): void {
    this.#kernel.pin(link, this.#pins.link(slot, side));
    this.#kernel.close(link);
  }

  #withProgram(digest: string, name: ProgramName, use: (program: Descriptor) => void): void {
    const program = this.#programs.open(digest, name);
    try {
      use(program);
    } finally {
      this.#kernel.close(program);
    }
  }

  /** Replaces the programs of slots where they hang, each atomically; all of them or none. */
  swap(slots: readonly number[], programDigest: string, previous: string): void {
    const pinned = this.#pinned();
    const done: (() => void)[] = [];
    try {
      for (const slot of slots) {
        const sides = pinned.get(slot) ?? [];
        const clsact = CLSACT.exec(sides[0] ?? '');
        const hooks = clsact ? INTERFACE_HOOKS : [...INTERFACE_HOOKS, ...CGROUP_HOOKS].filter(({ side }) => sides.includes(side));
        for (const { side, program } of hooks) {
          const replace = (digest: string): void =>
            this.#withProgram(digest, program, (descriptor) => (clsact ? this.#kernel.attachClsact(descriptor, Number(clsact[1]), side as Side) : this.#update(slot, side, descriptor)));
          replace(programDigest);
          done.push(() => replace(previous));
        }
      }
    } catch (error) {
      for (const undo of done) undo();
      throw error;
    }
  }

  #update(slot: number, side: string, program: Descriptor): void {
    const link = this.#kernel.openPin(this.#pins.link(slot, side));
    if (link === undefined) throw new RangeError(`the pin ${this.#pins.link(slot, side)} has disappeared`);
    try {
      this.#kernel.updateLink(link, program);
    } finally {
      this.#kernel.close(link);
    }
  }

  detach(slot: number): void {
    for (const side of this.#pinned().get(slot) ?? []) {
      const clsact = CLSACT.exec(side);
      const ifindex = clsact ? this.#detachClsact(Number(clsact[1])) : this.#detachLink(slot, side);
      this.#kernel.removePin(this.#pins.link(slot, side));
      if (ifindex !== 0) this.#writeEndpoint(ifindex, undefined);
    }
  }

  #detachClsact(ifindex: number): number {
    for (const { side } of INTERFACE_HOOKS) {
      if (this.#kernel.clsactProgram(ifindex, side) !== 0) this.#kernel.detachClsact(ifindex, side);
    }
    return ifindex;
  }

  #detachLink(slot: number, side: string): number {
    const link = this.#kernel.openPin(this.#pins.link(slot, side));
    if (link === undefined) return 0;
    try {
      const { ifindex } = this.#kernel.linkInfo(link);
      this.#kernel.detach(link);
      return ifindex;
    } finally {
      this.#kernel.close(link);
    }
  }

  /** Detaches everything; for the removal of Palisade. */
  detachAll(): void {
    for (const slot of this.#pinned().keys()) this.detach(slot);
  }

  #writeEndpoint(ifindex: number, value: Uint8Array | undefined): void {
    if (ifindex < MAX_DIRECT_IFINDEX) this.#kernel.update(this.#maps.map('endpoint_by_index'), rowKey(ifindex), value ?? new Uint8Array(ENDPOINT.size));
    else if (value) this.#kernel.update(this.#maps.map('endpoint_by_hash'), rowKey(ifindex), value);
    else this.#kernel.delete(this.#maps.map('endpoint_by_hash'), rowKey(ifindex));
  }
}
