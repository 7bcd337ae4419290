/**
 * What the kernel's maps must hold for a resolved node: bytes, ready to be written. Content-addressed, so that equal
 * policies are one kernel map and an unchanged part is recognised without reading it back.
 */

import { DomainError } from '@palisade/errors';
import { PROTOCOL_NUMBER, type AddressClass, type PolicyEntry, type ResolvedNode } from '@palisade/policy';
import { parseAddress, parsePrefix } from './abi/address.ts';
import { DIRECTION_NUMBER, ENTRY_DNS, ENTRY_GATE, ENTRY_LOG, ENTRY_RULE, MAX_ENDPOINTS, VERDICT_NUMBER } from './abi/constants.ts';
import {
  ADDRESS4_KEY,
  ADDRESS6_KEY,
  ADDRESS_CLASS,
  POLICY_ENTRY,
  POLICY_KEY,
  POLICY_SHAPE,
  PREFIX4_KEY,
  PREFIX6_KEY,
} from './abi/layouts.ts';
import { hex } from './abi/text.ts';
import type { LocalEndpoint, ServiceAddress } from './local-endpoint.ts';
import { dnsRulesOf, type DnsRules } from './dns-rules.ts';
import { buildNameImage, type NameImage } from './name-image.ts';
import { networkNumber } from './network-number.ts';
import { serviceRows, type ServiceRow } from './service-image.ts';
import { buildSoftImage, softNumbers, type SoftImage } from './soft-image.ts';

/** Digest of bytes, 32 of them (SHA-256); given by the caller, because this room has no crypto. */
export type Digest = (...parts: readonly Uint8Array[]) => Uint8Array;

/** The content of one kernel map. */
export interface MapContentImage {
  /** Hex; of keys and values. */
  readonly digest: string;
  readonly keys: Uint8Array;
  readonly values: Uint8Array;
  readonly count: number;
}

export interface PolicyImage extends MapContentImage {
  /** `struct policy_shape`. */
  readonly shape: Uint8Array;
}

export const ADDRESS_MAP_NAMES = ['addresses4', 'addresses6', 'prefixes4', 'prefixes6'] as const;
export type AddressMapName = (typeof ADDRESS_MAP_NAMES)[number];

export interface PolicySetImage {
  /** By digest. */
  readonly policies: ReadonlyMap<string, PolicyImage>;
  readonly addresses: Readonly<Record<AddressMapName, MapContentImage>>;
  /** Endpoint key → policy digest; an endpoint that no policy restricts is missing. */
  readonly byEndpoint: ReadonlyMap<string, string>;
}

export interface EndpointImage {
  readonly slot: number;
  readonly key: string;
  readonly identity: number;
  readonly network: number;
  readonly attach: LocalEndpoint['attach'];
  readonly policyDigest?: string;
  readonly shadowDigest?: string;
}

export interface MapImage {
  readonly endpoints: readonly EndpointImage[];
  readonly live: PolicySetImage;
  readonly shadow?: PolicySetImage;
  readonly services: readonly ServiceRow[];
  readonly names: NameImage;
  readonly soft: SoftImage;
}

/** Two names with one number would mix their addresses. @throws DomainError `request.invalid` */
function checkNetworks(names: Iterable<string>): void {
  const seen = new Map<number, string>();
  for (const name of names) {
    const number = networkNumber(name);
    const other = seen.get(number);
    if (other !== undefined && other !== name) {
      throw new DomainError('request.invalid', `The networks “${other}” and “${name}” cannot be told apart on this node; rename one.`);
    }
    seen.set(number, name);
  }
}

function contentImage(digest: Digest, keys: Uint8Array, values: Uint8Array, count: number): MapContentImage {
  return { digest: hex(digest(keys, values)), keys, values, count };
}

function encodeEntries(entries: readonly PolicyEntry[], resolved: ResolvedNode, soft: ReadonlyMap<number, number>): { keys: Uint8Array; values: Uint8Array } {
  const keys = new Uint8Array(entries.length * POLICY_KEY.size);
  const values = new Uint8Array(entries.length * POLICY_ENTRY.size);
  const dns = dnsRulesOf(resolved.l7Rules);
  for (const [index, entry] of entries.entries()) {
    const questions = entry.verdict === 'l7' && entry.direction === 'egress' ? dns.get(entry.l7 ?? -1) : undefined;
    const number = entry.verdict === 'l7' && entry.protocol === PROTOCOL_NUMBER.TCP ? soft.get(entry.l7 ?? -1) : undefined;
    const byRule = resolved.rules[entry.ruleId]?.kind === 'rule';
    POLICY_KEY.encode(
      {
        peer_class: entry.peerClass,
        port: entry.port,
        protocol: entry.protocol,
        scope: (DIRECTION_NUMBER[entry.direction] << 7) | entry.portPrefixLength,
      },
      keys,
      index * POLICY_KEY.size,
    );
    POLICY_ENTRY.encode(
      {
        rule_id: entry.ruleId,
        verdict: VERDICT_NUMBER[questions === 'all' ? 'allow' : number === undefined ? entry.verdict : 'soft'],
        flags: (entry.log ? ENTRY_LOG : 0) | (number === undefined && isForGate(entry, resolved) ? ENTRY_GATE : 0) | (isOnQuestions(entry, questions) ? ENTRY_DNS : 0) | (byRule ? ENTRY_RULE : 0),
        l7: number ?? entry.l7 ?? 0,
      },
      values,
      index * POLICY_ENTRY.size,
    );
  }
  return { keys, values };
}

/** Only questions over UDP can be judged: what else the rules select, the programs drop. */
function isOnQuestions(entry: PolicyEntry, questions: DnsRules | undefined): boolean {
  return questions !== undefined && questions !== 'all' && entry.protocol === PROTOCOL_NUMBER.UDP;
}

/** Rules on HTTP that the programs do not judge themselves: hard ones, and soft ones that make too large tables. */
function isForGate(entry: PolicyEntry, { l7Rules }: Pick<ResolvedNode, 'l7Rules'>): boolean {
  const rules = entry.verdict === 'l7' ? l7Rules[entry.l7 ?? -1] : undefined;
  return rules?.http !== undefined;
}

/** The prefix lengths in use per direction, longest first, and whether a direction has entries at all. */
export function policyShape(entries: readonly PolicyEntry[]): Uint8Array {
  const lengths = new Uint8Array(36);
  const counts = new Uint8Array(2);
  const isolated = new Uint8Array(2);
  for (const direction of ['ingress', 'egress'] as const) {
    const number = DIRECTION_NUMBER[direction];
    const own = entries.filter((entry) => entry.direction === direction);
    // The entry for every protocol is looked up anyway, whatever lengths are in use.
    const used = [...new Set(own.filter((entry) => entry.protocol !== 0).map((entry) => entry.portPrefixLength))].sort((a, b) => b - a);
    lengths.set(used, number * 18);
    counts[number] = used.length;
    isolated[number] = own.length > 0 ? 1 : 0;
  }
  return POLICY_SHAPE.encode({ length_count: counts, isolated, lengths });
}

function addressImages(addresses: readonly AddressClass[], digest: Digest): Record<AddressMapName, MapContentImage> {
  const sorted = { addresses4: [], addresses6: [], prefixes4: [], prefixes6: [] } as Record<AddressMapName, [Uint8Array, Uint8Array][]>;
  for (const address of addresses) {
    const prefix = parsePrefix(address.cidr);
    const network = networkNumber(address.network);
    const value = ADDRESS_CLASS.encode({ peer_class: address.peerClass, identity: address.identity });
    const exact = prefix.length === prefix.bytes.length * 8;
    const key = { network, address_be: prefix.bytes, length: 32 + prefix.length };
    if (exact && prefix.family === 4) sorted.addresses4.push([ADDRESS4_KEY.encode(key), value]);
    else if (exact) sorted.addresses6.push([ADDRESS6_KEY.encode(key), value]);
    else if (prefix.family === 4) sorted.prefixes4.push([PREFIX4_KEY.encode(key), value]);
    else sorted.prefixes6.push([PREFIX6_KEY.encode(key), value]);
  }
  const image = (pairs: readonly [Uint8Array, Uint8Array][]): MapContentImage =>
    contentImage(digest, concatenate(pairs.map(([key]) => key)), concatenate(pairs.map(([, value]) => value)), pairs.length);
  return {
    addresses4: image(sorted.addresses4),
    addresses6: image(sorted.addresses6),
    prefixes4: image(sorted.prefixes4),
    prefixes6: image(sorted.prefixes6),
  };
}

/** One array of all `parts`, in order. */
export function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function policySetImage(resolved: ResolvedNode, digest: Digest): PolicySetImage {
  const policies = new Map<string, PolicyImage>();
  const byEndpoint = new Map<string, string>();
  const soft = softNumbers(resolved.l7Rules);
  for (const endpoint of resolved.endpoints) {
    if (endpoint.entries.length === 0) continue;
    const { keys, values } = encodeEntries(endpoint.entries, resolved, soft);
    const image = contentImage(digest, keys, values, endpoint.entries.length);
    if (!policies.has(image.digest)) policies.set(image.digest, { ...image, shape: policyShape(endpoint.entries) });
    byEndpoint.set(endpoint.key, image.digest);
  }
  return { policies, addresses: addressImages(resolved.addresses, digest), byEndpoint };
}

export interface MapImageInput {
  /** Resolvers whose answers are learned from; absent: the services on port 53. */
  readonly dnsResolvers?: readonly { readonly network: string; readonly address: string }[];
  readonly resolved: ResolvedNode;
  readonly shadow?: ResolvedNode;
  readonly endpoints: readonly LocalEndpoint[];
  readonly services?: readonly ServiceAddress[];
}

/**
 * @throws DomainError `request.invalid` for slots or networks that the kernel's keys cannot hold
 * @throws RangeError for addresses that are none
 */
export function buildMapImage(input: MapImageInput, digest: Digest): MapImage {
  checkNetworks([...input.endpoints.map((endpoint) => endpoint.network), ...input.resolved.addresses.map((address) => address.network)]);
  const live = policySetImage(input.resolved, digest);
  const shadow = input.shadow && policySetImage(input.shadow, digest);
  const identities = new Map(input.resolved.endpoints.map((endpoint) => [endpoint.key, endpoint.identity]));
  const slots = new Set<number>();
  const endpoints = input.endpoints.map((endpoint): EndpointImage => {
    if (!Number.isInteger(endpoint.slot) || endpoint.slot < 0 || endpoint.slot >= MAX_ENDPOINTS || slots.has(endpoint.slot)) {
      throw new DomainError('request.invalid', `Endpoint ${endpoint.key} has slot ${endpoint.slot}; slots are unique and below ${MAX_ENDPOINTS}.`);
    }
    slots.add(endpoint.slot);
    for (const address of endpoint.addresses) parseAddress(address);
    const policyDigest = live.byEndpoint.get(endpoint.key);
    const shadowDigest = shadow?.byEndpoint.get(endpoint.key);
    return {
      slot: endpoint.slot,
      key: endpoint.key,
      identity: identities.get(endpoint.key) ?? 0,
      network: networkNumber(endpoint.network),
      attach: endpoint.attach,
      ...(policyDigest !== undefined && { policyDigest }),
      ...(shadowDigest !== undefined && { shadowDigest }),
    };
  });
  const resolvers = input.dnsResolvers ?? (input.services ?? []).filter(({ port, address }) => port === 53 && !address.includes('/'));
  const names = buildNameImage({ live: input.resolved.fqdn, shadow: input.shadow?.fqdn, dnsRules: dnsRulesOf(input.resolved.l7Rules), resolvers }, digest);
  const soft = buildSoftImage(input.resolved.l7Rules, digest);
  return { endpoints, live, ...(shadow && { shadow }), services: serviceRows(input.services ?? [], input.resolved), names, soft };
}
