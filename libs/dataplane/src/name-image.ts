/** DNS names in policy, as the kernel learns them: selectors by their fixed part, and the classes of their combinations. */

import type { FqdnBinding, FqdnSelector } from '@palisade/policy';
import { parseAddress } from './abi/address.ts';
import { MAX_NAME_SELECTORS, NAME_ANY, NAME_EXACT, NAME_ONE_LABEL, NAME_SOME_LABELS } from './abi/constants.ts';
import { MAPPED_ADDRESS, NAME_KEY, NAME_SELECTOR } from './abi/layouts.ts';
import { bytesOf, hex, textBytes } from './abi/text.ts';
import type { DnsRules } from './dns-rules.ts';
import { networkNumber } from './network-number.ts';

export interface NameSelectorImage {
  /** `name:` or `pattern:` and the value. */
  readonly text: string;
  /** `struct name_key`. */
  readonly key: Uint8Array;
}

export interface NameClassImage {
  readonly set: 'live' | 'shadow';
  readonly baseClass: number;
  /** Texts of the selectors. */
  readonly selectors: readonly string[];
  readonly peerClass: number;
}

export interface NameImage {
  /** Hex; empty where no policy names a DNS name. */
  readonly digest: string;
  /** Those that the kernel can match, at most `MAX_NAME_SELECTORS`. */
  readonly selectors: readonly NameSelectorImage[];
  /** Texts of those whose answers are learned from; the others only stand in rules on DNS. */
  readonly learned: readonly string[];
  /** Selectors that only user space could match: their addresses and questions stay denied. */
  readonly unmatched: readonly string[];
  /** Layer 7 number of the live policy → texts of the selectors whose names may be asked for. */
  readonly questions: readonly { readonly l7: number; readonly selectors: readonly string[] }[];
  readonly classes: readonly NameClassImage[];
  /** `struct mapped_address`es. */
  readonly resolvers: readonly Uint8Array[];
}

/** RFC 1035 §2.3.4: 255 octets on the wire, 253 as text. */
const NAME_LIMIT = 253;
/** What is left of `struct name_selector` behind the kind. */
const VALUE_LIMIT = NAME_SELECTOR.size - 'pattern:'.length;

/** How the kernel finds the selector; undefined for patterns with stars elsewhere than in front and for what no name can be. */
export function nameKey({ kind, value }: FqdnSelector): Uint8Array | undefined {
  if (bytesOf(value).length > VALUE_LIMIT) return undefined;
  const name = value.trim().toLowerCase().replace(/(?<=.)\.$/, '');
  const key = (fixed: string, as: number): Uint8Array | undefined => {
    const bytes = bytesOf(fixed);
    return fixed.includes('*') || fixed === '' || bytes.length > NAME_LIMIT ? undefined : NAME_KEY.encode({ kind: as, reversed: bytes.reverse() });
  };
  if (kind === 'name') return key(name, NAME_EXACT);
  if (/^\*+$/.test(name)) return NAME_KEY.encode({ kind: NAME_ANY });
  const deep = /^\*{2,}\.(.*)$/.exec(name);
  if (deep) return key(deep[1] ?? '', NAME_SOME_LABELS);
  const single = /^\*\.(.*)$/.exec(name);
  return single ? key(single[1] ?? '', NAME_ONE_LABEL) : key(name, NAME_EXACT);
}

export function mappedAddress(network: string, text: string): Uint8Array {
  return mappedAddressIn(networkNumber(network), text);
}

/** The same where the network's number is known, see `networkNumber`. */
export function mappedAddressIn(network: number, text: string): Uint8Array {
  const { bytes, family } = parseAddress(text);
  const address = new Uint8Array(16);
  if (family === 4) address.set([0xff, 0xff], 10);
  address.set(bytes, family === 4 ? 12 : 0);
  return MAPPED_ADDRESS.encode({ network, address_be: address });
}

const EMPTY: NameImage = { digest: '', selectors: [], learned: [], unmatched: [], questions: [], classes: [], resolvers: [] };

export interface NameImageInput {
  readonly live: FqdnBinding;
  readonly shadow: FqdnBinding | undefined;
  readonly dnsRules: ReadonlyMap<number, DnsRules>;
  readonly resolvers: readonly { readonly network: string; readonly address: string }[];
}

export function buildNameImage({ live, shadow, dnsRules, resolvers }: NameImageInput, digest: (...parts: readonly Uint8Array[]) => Uint8Array): NameImage {
  const selectors = new Map<string, NameSelectorImage>();
  const unmatched = new Set<string>();
  const text = ({ kind, value }: FqdnSelector): string => `${kind}:${value}`;
  const rules = [...dnsRules].flatMap(([l7, names]) => (names === 'all' ? [] : [{ l7, names }]));
  const bound = [...live.selectors, ...(shadow?.selectors ?? [])];
  for (const selector of [...bound, ...rules.flatMap(({ names }) => names)]) {
    const key = nameKey(selector);
    if (key === undefined || (selectors.size >= MAX_NAME_SELECTORS && !selectors.has(text(selector)))) unmatched.add(text(selector));
    else selectors.set(text(selector), { text: text(selector), key });
  }
  if (selectors.size === 0) return { ...EMPTY, unmatched: [...unmatched] };
  const classesOf = (set: 'live' | 'shadow', binding: FqdnBinding | undefined): NameClassImage[] =>
    (binding?.classes ?? [])
      .map(({ baseClass, selectors: indexes, peerClass }) => ({
        set, baseClass, peerClass, selectors: indexes.map((index) => binding?.selectors[index]).flatMap((one) => (one ? [text(one)] : [])),
      }))
      .filter((one) => one.selectors.every((name) => selectors.has(name)));
  const classes = [...classesOf('live', live), ...classesOf('shadow', shadow)];
  const resolverKeys = resolvers.map(({ network, address }) => mappedAddress(network, address));
  const learned = [...new Set(bound.map(text))].filter((one) => selectors.has(one));
  const questions = rules.map(({ l7, names }) => ({ l7, selectors: names.map(text).filter((one) => selectors.has(one)) }));
  const described = JSON.stringify([[...selectors.keys()], learned, questions, classes, resolverKeys.map(hex)]);
  return {
    digest: hex(digest(textBytes(described, described.length * 3))),
    selectors: [...selectors.values()], learned, unmatched: [...unmatched], questions, classes, resolvers: resolverKeys,
  };
}
