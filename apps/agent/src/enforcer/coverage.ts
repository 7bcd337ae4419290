import type { NetworkInterface } from '@palisade/dataplane';

/** Kinds whose packets do not pass where the hooks are, and why. */
const MISSED: Readonly<Record<string, string>> = {
  ipvlan: 'an ipvlan shares its parent’s receive path: packets between workloads of one parent pass no host-side interface',
  ipvtap: 'an ipvtap shares its parent’s receive path: packets between workloads of one parent pass no host-side interface',
  macvlan: 'a macvlan is switched inside its parent device: packets between workloads of one parent pass no host-side interface',
  macvtap: 'a macvtap is switched inside its parent device: packets between workloads of one parent pass no host-side interface',
  netkit: 'a netkit device runs programs of its own before these hooks, and may deliver without them',
};

/** Interfaces that only Cilium makes; its datapath delivers with bpf_redirect_peer, past the host side of a veth. */
const REDIRECTING = ['cilium_host', 'cilium_net'];

/**
 * Why traffic of a workload behind this interface may pass the hooks by; undefined: it does not.
 * @param interfaces all of the network namespace
 */
export function coverageGap(ifname: string, interfaces: readonly NetworkInterface[]): string | undefined {
  const own = interfaces.find(({ name }) => name === ifname);
  const missed = own === undefined ? undefined : MISSED[own.kind];
  if (missed !== undefined) return `${ifname} cannot be enforced: ${missed}; give the workload a veth`;
  const redirecting = own?.kind === 'veth' ? interfaces.find(({ name }) => REDIRECTING.includes(name)) : undefined;
  if (redirecting !== undefined) {
    return `${ifname} cannot be enforced: ${redirecting.name} shows that Cilium’s datapath runs here, which delivers past this interface (bpf_redirect_peer)`;
  }
  return undefined;
}

/** When interfaces came, and for how long they carried traffic without a program. Times of a monotonic clock, in ns. */
export class Arrivals {
  readonly #now: () => bigint;
  /** Index → when it was first seen; undefined: it was there before anybody looked. */
  readonly #since = new Map<number, bigint | undefined>();
  /** Index → how long it was open. */
  readonly #open = new Map<number, number>();
  #looked = false;

  constructor(now: () => bigint) {
    this.#now = now;
  }

  /** Notes what is new and forgets what is gone. @returns whether anything came or went */
  look(interfaces: readonly NetworkInterface[]): boolean {
    const now = this.#now();
    let changed = false;
    const present = new Set(interfaces.map(({ index }) => index));
    for (const index of present) {
      if (this.#since.has(index)) continue;
      this.#since.set(index, this.#looked ? now : undefined);
      changed = true;
    }
    for (const index of this.#since.keys()) {
      if (present.has(index)) continue;
      this.#since.delete(index);
      this.#open.delete(index);
      changed = true;
    }
    this.#looked = true;
    return changed;
  }

  /** Programs are attached now. */
  attached(index: number): void {
    const since = this.#since.get(index);
    if (since !== undefined && !this.#open.has(index)) this.#open.set(index, Number(this.#now() - since) / 1e6);
  }

  /** Milliseconds from the news of the interface until it was attached; undefined: it is older than the agent’s watch. */
  unprotectedMs(index: number): number | undefined {
    return this.#open.get(index);
  }
}
