/** Rules on DNS as the kernel enforces them: the names that questions may ask for, by the layer 7 number of their entry. */

import type { FqdnSelector, L7RuleSet } from '@palisade/policy';

/** `all`: every name, so that nothing is left to judge and the entry is a plain allow, over TCP too. */
export type DnsRules = 'all' | readonly FqdnSelector[];

/** A pattern of stars alone, with or without the final dot. */
function admitsEveryName({ kind, value }: FqdnSelector): boolean {
  return kind === 'pattern' && /^\*+\.?$/.test(value.trim());
}

/** Index into `l7Rules` → rules; sets that are not on DNS are missing. */
export function dnsRulesOf(l7Rules: readonly L7RuleSet[]): ReadonlyMap<number, DnsRules> {
  const found = new Map<number, DnsRules>();
  for (const [index, { dns, http }] of l7Rules.entries()) {
    if (dns !== undefined && http === undefined) found.set(index, dns.some(admitsEveryName) ? 'all' : dns);
  }
  return found;
}
