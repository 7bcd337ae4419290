import type { Descriptor, KernelPort } from '@palisade/dataplane';
import { DomainError } from '@palisade/errors';
import type { ResolvedNode } from '@palisade/policy';
import type { DesiredState } from './enforcer.ts';
import { detachPinned } from './pinned-links.ts';
import type { Pins } from './pins.ts';
import { NETFILTER_PROGRAM, type ProgramSet } from './program-set.ts';

/** Two priorities, so that a new program can be attached before the old one leaves (netfilter links cannot be updated). */
const PRIORITIES = [-250, -251] as const;
const POINTS = [
  { family: 4, hook: 'forward' },
  { family: 4, hook: 'local-in' },
  { family: 6, hook: 'forward' },
  { family: 6, hook: 'local-in' },
] as const;

function restrictsEgress(node: ResolvedNode | undefined): boolean {
  return node?.endpoints.some(({ entries }) => entries.some(({ direction }) => direction === 'egress')) === true;
}

/**
 * Whether translated egress has to be looked at again on its backend: where some policy restricts egress, or service addresses are
 * known whose backends flows should name. Elsewhere every forwarded packet would pay for a hook that can only say yes
 * (docs/adr/0005-egress-to-services.md).
 */
export function looksAfterDnat(desired: DesiredState): boolean {
  return (desired.services?.length ?? 0) > 0 || restrictsEgress(desired.resolved) || restrictsEgress(desired.shadow);
}

/** The netfilter hooks of the node's network namespace, in which all of this must run. */
export class AfterDnat {
  readonly #kernel: KernelPort;
  readonly #pins: Pins;
  readonly #programs: ProgramSet;

  constructor(kernel: KernelPort, pins: Pins, programs: ProgramSet) {
    this.#kernel = kernel;
    this.#pins = pins;
    this.#programs = programs;
  }

  /**
   * Attaches the program of `digest` at every point where it is missing, then takes older ones away.
   * @returns whether egress to services can be decided after translation
   */
  ensure(digest: string): boolean {
    if (this.#kernel.features()['netfilter-link'] !== true) return false;
    const present = this.#kernel.listPins(this.#pins.netfilter);
    const suffix = digest.slice(0, 16);
    const program = this.#programs.open(digest, NETFILTER_PROGRAM);
    try {
      for (const { family, hook } of POINTS) {
        const name = `${hook}-${family}-${suffix}`;
        if (present.includes(name)) continue;
        const link = this.#attach(program, family, hook);
        this.#kernel.pin(link, `${this.#pins.netfilter}/${name}`);
        this.#kernel.close(link);
      }
    } finally {
      this.#kernel.close(program);
    }
    for (const name of present.filter((candidate) => !candidate.endsWith(suffix))) this.#kernel.removePin(`${this.#pins.netfilter}/${name}`);
    return true;
  }

  /** Takes all of them away. */
  remove(): void {
    detachPinned(this.#kernel, this.#pins.netfilter);
    for (const name of this.#kernel.listPins(this.#pins.netfilter)) this.#kernel.removePin(`${this.#pins.netfilter}/${name}`);
  }

  #attach(program: Descriptor, family: 4 | 6, hook: 'forward' | 'local-in'): Descriptor {
    try {
      return this.#kernel.attachNetfilter(program, family, hook, PRIORITIES[0]);
    } catch (error) {
      if (!(error instanceof DomainError) || error.params['errno'] !== 'EBUSY') throw error;
      return this.#kernel.attachNetfilter(program, family, hook, PRIORITIES[1]);
    }
  }
}
