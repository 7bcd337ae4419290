/** Entries of one peer class: the smallest set by which the kernel's lookup gives the class its port function. */

import type { PolicyEntry } from '../resolution.ts';
import { DEFAULT_ALLOW } from './decision.ts';
import type { PortFunction } from './port-function.ts';
import { constantSteps, coverPrefixes, type PortSteps } from './prefix-cover.ts';

export interface EntryTemplate extends Pick<PolicyEntry, 'protocol' | 'port' | 'portPrefixLength'> {
  /** Number in the decision table. */
  readonly decision: number;
}

/** Sorted: protocol, prefix length descending, port. */
export type EntryTemplates = readonly EntryTemplate[];

/** Covers are the same for equal pairs of functions, whatever the rule set or class. */
export class RowCover {
  private readonly known = new Map<string, EntryTemplates>();

  /** Entries of a class on top of those of ANY_CLASS; `any` undefined: the entries of ANY_CLASS itself. */
  cover(wanted: PortFunction, any: PortFunction | undefined): EntryTemplates {
    const key = `${wanted.uid}|${any?.uid ?? ''}`;
    let templates = this.known.get(key);
    if (templates === undefined) {
      templates = wanted === any ? [] : smallest(wanted, any);
      this.known.set(key, templates);
    }
    return templates;
  }

  get size(): number {
    return this.known.size;
  }
}

/** With a protocol-0 entry, ports that no entry covers get its value; without, what ANY_CLASS has (or no entry: allow). */
function smallest(wanted: PortFunction, any: PortFunction | undefined): EntryTemplates {
  const withDefault = [{ protocol: 0, port: 0, portPrefixLength: 0, decision: wanted.other }, ...coverAll(wanted, wanted.protocols.keys(), () => constantSteps(wanted.other))];
  const fallbackOther = any?.other ?? DEFAULT_ALLOW;
  if (fallbackOther !== wanted.other) return withDefault;
  const protocols = new Set([...wanted.protocols.keys(), ...(any?.protocols.keys() ?? [])]);
  const without = coverAll(wanted, protocols, (protocol) => stepsFor(any, protocol, fallbackOther));
  return without.length <= withDefault.length ? without : withDefault;
}

function coverAll(wanted: PortFunction, protocols: Iterable<number>, fallback: (protocol: number) => PortSteps): EntryTemplate[] {
  return [...protocols]
    .sort((a, b) => a - b)
    .flatMap((protocol) =>
      coverPrefixes(stepsFor(wanted, protocol, wanted.other), fallback(protocol))
        .sort((a, b) => b.length - a.length || a.port - b.port)
        .map(({ port, length, value }) => ({ protocol, port, portPrefixLength: length, decision: value })),
    );
}

function stepsFor(from: PortFunction | undefined, protocol: number, other: number): PortSteps {
  return from?.protocols.get(protocol) ?? constantSteps(other);
}
