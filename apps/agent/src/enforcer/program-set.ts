import { PALISADE_ABI, type Descriptor, type KernelPort, type LoadRequest, type ProgramKind } from '@palisade/dataplane';
import { DomainError } from '@palisade/errors';
import type { ProgramObject } from './enforcer.ts';
import type { Pins } from './pins.ts';

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
const TRACEPOINTS = [
  { name: 'socket-state', program: 'on_socket_state', feature: 'tracepoint' },
  { name: 'execution', program: 'on_execution', feature: 'execution-tracepoint' },
  { name: 'fork', program: 'on_fork', feature: 'execution-tracepoint' },
  { name: 'exit', program: 'on_exit', feature: 'execution-tracepoint' },
] as const;
export type ProgramName = (typeof INTERFACE_PROGRAMS)[number] | keyof typeof HOST_PROGRAMS | typeof NETFILTER_PROGRAM | (typeof TRACEPOINTS)[number]['program'];

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
      ...this.#tracepoints().map(({ program }) => ({ name: program, kind: 'tracepoint' as const })),
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

  /**
   * Attaches the process hooks of `digest` before older ones leave. Without them flows name no process, or only its command,
   * and nothing else changes.
   * @returns whether what processes execute is noted, and was not before
   */
  ensureTracepoints(digest: string): boolean {
    const present = this.#kernel.listPins(this.#pins.tracepoints);
    const hooks = this.#tracepoints().filter(({ program }) => this.#kernel.listPins(`${this.#pins.programs}/${digest}`).includes(program));
    const pin = (name: string): string => `${name}-${digest.slice(0, 16)}`;
    for (const { name, program } of hooks.filter((hook) => !present.includes(pin(hook.name)))) {
      const descriptor = this.open(digest, program);
      try {
        const link = this.#kernel.attachTracepoint(descriptor);
        this.#kernel.pin(link, `${this.#pins.tracepoints}/${pin(name)}`);
        this.#kernel.close(link);
      } finally {
        this.#kernel.close(descriptor);
      }
    }
    const kept = new Set(hooks.map(({ name }) => pin(name)));
    for (const old of present.filter((name) => !kept.has(name))) this.#kernel.removePin(`${this.#pins.tracepoints}/${old}`);
    return kept.has(pin('execution')) && !present.some((name) => name.startsWith('execution-'));
  }

  #tracepoints(): readonly (typeof TRACEPOINTS)[number][] {
    const features = this.#kernel.features();
    return TRACEPOINTS.filter(({ feature }) => features[feature] === true);
  }

  /** Removes the pins of programs that neither bank names. */
  collect(keep: ReadonlySet<string>): void {
    for (const digest of this.#kernel.listPins(this.#pins.programs)) {
      if (!keep.has(digest)) this.#kernel.removePin(`${this.#pins.programs}/${digest}`);
    }
  }
}
