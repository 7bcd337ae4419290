import { PALISADE_ABI, type Descriptor, type KernelPort, type LoadRequest, type ProgramKind } from '@palisade/dataplane';
import { DomainError } from '@palisade/errors';
import type { ProgramObject } from './enforcer.ts';
import type { Pins } from './pins.ts';
import { processHooks, type ProcessProgram } from './process-hooks.ts';

const OBJECT = 'endpoint';
const INTERFACE_PROGRAMS = ['from_endpoint', 'to_endpoint', 'export_connections'] as const;
const HOST_PROGRAMS = {
  from_host_unit: 'cgroup-egress',
  to_host_unit: 'cgroup-ingress',
  host_connect4: 'cgroup-connect4',
  host_connect6: 'cgroup-connect6',
  host_sendmsg4: 'cgroup-sendmsg4',
  host_sendmsg6: 'cgroup-sendmsg6',
} as const satisfies Readonly<Record<string, ProgramKind>>;
export const NETFILTER_PROGRAM = 'after_dnat';

export type ProgramName = (typeof INTERFACE_PROGRAMS)[number] | keyof typeof HOST_PROGRAMS | typeof NETFILTER_PROGRAM | ProcessProgram;

/** The endpoint program object among a bundle's. @throws DomainError `kernel.load-failed` */
export function endpointObject(programs: readonly ProgramObject[]): ProgramObject {
  const found = programs.find((program) => program.name === OBJECT);
  if (!found) throw new DomainError('kernel.load-failed', `The bundle carries no program object “${OBJECT}”.`);
  return found;
}

/** Loading, pinning and finding programs by the digest of their object. */
export class ProgramSet {
  readonly #kernel: KernelPort;
  readonly #pins: Pins;
  readonly #maxEntries: Readonly<Record<string, number>>;

  constructor(kernel: KernelPort, pins: Pins, maxEntries: Readonly<Record<string, number>>) {
    this.#kernel = kernel;
    this.#pins = pins;
    this.#maxEntries = maxEntries;
  }

  /** Loads and pins the object's programs unless they are pinned. What runs is not touched. */
  ensure(object: ProgramObject): void {
    const features = this.#kernel.features();
    this.#ensure(object, INTERFACE_PROGRAMS, [
      ...INTERFACE_PROGRAMS.map((name) => ({ name, kind: 'interface' as const })),
      ...(features['netfilter-link'] === true ? [{ name: NETFILTER_PROGRAM, kind: 'netfilter' as const }] : []),
      ...processHooks(features).map(({ program, kind }) => ({ name: program, kind })),
    ]);
  }

  /** The same for the programs of host units: only nodes that have such units load them. */
  ensureHost(object: ProgramObject): void {
    const programs = Object.entries(HOST_PROGRAMS).map(([name, kind]) => ({ name, kind }));
    this.#ensure(object, Object.keys(HOST_PROGRAMS), programs);
  }

  #ensure(object: ProgramObject, needed: readonly string[], programs: LoadRequest['programs']): void {
    const names = this.#kernel.listPins(`${this.#pins.programs}/${object.sha256}`);
    if (needed.every((name) => names.includes(name))) return;
    const loaded = this.#kernel.load({ object: object.bytes, abi: PALISADE_ABI, mapPins: this.#pins.maps, maxEntries: this.#maxEntries, programs });
    for (const [name, descriptor] of Object.entries(loaded.programs)) {
      if (!names.includes(name)) this.#kernel.pin(descriptor, this.#pins.program(object.sha256, name));
    }
    for (const descriptor of [...Object.values(loaded.programs), ...Object.values(loaded.maps)]) this.#kernel.close(descriptor);
  }

  /** @throws DomainError `kernel.load-failed` when the digest's programs are not pinned */
  open(digest: string, name: ProgramName): Descriptor {
    const found = this.#kernel.openPin(this.#pins.program(digest, name));
    if (found === undefined) throw new DomainError('kernel.load-failed', `The program ${name} of ${digest} is not pinned.`);
    return found;
  }

  /** Removes the pins of programs that neither bank names. */
  collect(keep: ReadonlySet<string>): void {
    for (const digest of this.#kernel.listPins(this.#pins.programs)) {
      if (!keep.has(digest)) this.#kernel.removePin(`${this.#pins.programs}/${digest}`);
    }
  }
}
