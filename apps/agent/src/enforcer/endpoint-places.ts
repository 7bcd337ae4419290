import type { AttachmentTarget, KernelPort, LocalEndpoint, NetworkInterface } from '@palisade/dataplane';
import { cgroupTarget, interfaceTarget } from './attachments.ts';
import { Arrivals, coverageGap } from './coverage.ts';
import { unitCgroup, type CgroupPlace } from './host-units.ts';

type Place = { readonly target: AttachmentTarget } | { readonly reason: string };

/**
 * Where each endpoint lies in the kernel (an interface, a cgroup), and why one that lies nowhere is not protected. All of it
 * runs in the node's network namespace.
 */
export class EndpointPlaces {
  readonly #kernel: KernelPort;
  readonly #cgroups: CgroupPlace;
  readonly #arrivals = new Arrivals(() => process.hrtime.bigint());
  #watching = false;
  /** Slot → why it is not protected; the executor adds what it could not attach. */
  readonly failures = new Map<number, string>();

  constructor(kernel: KernelPort, cgroups: CgroupPlace) {
    this.#kernel = kernel;
    this.#cgroups = cgroups;
  }

  /** Slot → where the endpoint has to be attached now. What cannot be is in `failures`, which begins anew. */
  find(endpoints: readonly LocalEndpoint[]): Map<number, AttachmentTarget> {
    const found = new Map<number, AttachmentTarget>();
    this.failures.clear();
    const interfaces = this.#kernel.interfaces();
    if (this.#watching) this.#arrivals.look(interfaces);
    for (const { slot, attach } of endpoints) {
      const place = attach.kind === 'cgroup' ? this.#cgroup(attach.path) : this.#interface(attach.ifname, interfaces);
      if ('target' in place) found.set(slot, place.target);
      else this.failures.set(slot, place.reason);
    }
    return found;
  }

  /** The endpoints with the paths of their cgroups as the kernel is told them. */
  withPaths(endpoints: readonly LocalEndpoint[]): readonly LocalEndpoint[] {
    return endpoints.map((endpoint) => {
      const unit = endpoint.attach.kind === 'cgroup' ? unitCgroup(endpoint.attach.path, this.#cgroups) : undefined;
      return unit !== undefined && 'path' in unit ? { ...endpoint, attach: { kind: 'cgroup', path: unit.path } } : endpoint;
    });
  }

  /** Notes that programs hang on an interface now; nothing where it failed. */
  attached(slot: number, ifindex: number): void {
    if (!this.failures.has(slot)) this.#arrivals.attached(ifindex);
  }

  /** Milliseconds for which the interface carried traffic without a program; undefined: unknown, see {@link Arrivals}. */
  unprotectedMs(ifindex: number): number | undefined {
    return this.#arrivals.unprotectedMs(ifindex);
  }

  /** Begins to time new interfaces. @param changed called when one came or went @returns ends it */
  watch(changed: () => void, inNode: <T>(work: () => T) => T): () => void {
    const look = (): boolean => inNode(() => this.#arrivals.look(this.#kernel.interfaces()));
    const stop = inNode(() => {
      look();
      return this.#kernel.watchInterfaces(() => {
        if (look()) changed();
      });
    });
    this.#watching = true;
    return () => {
      this.#watching = false;
      stop();
    };
  }

  #interface(ifname: string, interfaces: readonly NetworkInterface[]): Place {
    if (ifname === '') return { reason: 'the host side of its veth has not been found; does the agent see the node’s processes (hostPID)?' };
    const ifindex = this.#kernel.interfaceIndex(ifname);
    if (ifindex === 0) return { reason: `there is no interface ${ifname} in the node's network namespace` };
    const gap = coverageGap(ifname, interfaces);
    return gap === undefined ? { target: interfaceTarget(ifindex) } : { reason: gap };
  }

  #cgroup(path: string): Place {
    const unit = unitCgroup(path, this.#cgroups);
    if ('reason' in unit) return unit;
    const id = this.#kernel.cgroupId(unit.path);
    return id === 0n ? { reason: `there is no cgroup ${unit.path}; is the unit running?` } : { target: cgroupTarget(id) };
  }
}
