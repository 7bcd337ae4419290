/** From what the kernel holds to what it must hold: the actions in between, as data. One executor applies them. */

import { ADDRESS_MAP_NAMES, type AddressMapName, type EndpointImage, type MapImage, type PolicySetImage } from './map-image.ts';
import { hex } from './abi/text.ts';
import { tellsBackends, type ServiceRow } from './service-image.ts';

/** One endpoint's row in a bank, as read back. */
export interface ObservedEndpoint {
  readonly slot: number;
  readonly key: string;
  readonly policyDigest?: string;
  readonly shadowDigest?: string;
}

/** What a slot's programs are attached to: `interface:<index>` or `cgroup:<id>`; empty: nothing, or it is gone. */
export type AttachmentTarget = string;

/** Attachments of one slot, as read back from the kernel. */
export interface ObservedLinks {
  readonly slot: number;
  /** Empty as well where only some of the hooks are attached. */
  readonly target: AttachmentTarget;
  /** All of them run the programs that are pinned as current. */
  readonly currentPrograms: boolean;
}

export interface ObservedBank {
  readonly contentDigest: string;
  readonly bundleGeneration: string;
  readonly policyRevision: number;
  readonly identityRevision: number;
  readonly programDigest: string;
  readonly addressDigests: Readonly<Record<AddressMapName, string>>;
  readonly shadowAddressDigests: Readonly<Record<AddressMapName, string>>;
  /** Of selectors, classes and resolvers; empty: none. */
  readonly namesDigest: string;
  /** Of soft HTTP rules; empty: none. */
  readonly softDigest: string;
  readonly endpoints: readonly ObservedEndpoint[];
}

export interface ObservedState {
  /** The kernel's generation; its lowest bit names the bank in force. */
  readonly generation: bigint;
  readonly banks: readonly [ObservedBank, ObservedBank];
  readonly links: readonly ObservedLinks[];
  /** Digests of pinned policy and address maps. */
  readonly pinnedPolicies: ReadonlySet<string>;
  readonly pinnedAddresses: ReadonlySet<string>;
  /** Keys and values, in hexadecimal. */
  readonly services: ReadonlyMap<string, string>;
  readonly shadowOn: boolean;
}

export interface DesiredBank {
  readonly contentDigest: string;
  readonly bundleGeneration: string;
  readonly policyRevision: number;
  readonly identityRevision: number;
  readonly programDigest: string;
  readonly image: MapImage;
  /** Endpoint slot → where it has to be attached now; missing: its interface or cgroup does not exist. */
  readonly targets: ReadonlyMap<number, AttachmentTarget>;
}

export interface BankRow {
  readonly slot: number;
  /** Absent: the row is cleared. */
  readonly endpoint?: EndpointImage;
  /** The row may hold such a policy map now. */
  readonly holds: { readonly live: boolean; readonly shadow: boolean };
}

export type Action =
  | { readonly kind: 'create-policy'; readonly digest: string; readonly set: 'live' | 'shadow' }
  | { readonly kind: 'create-addresses'; readonly map: AddressMapName; readonly digest: string; readonly set: 'live' | 'shadow' }
  | { readonly kind: 'add-services'; readonly rows: readonly ServiceRow[] }
  /** Nothing reads the bank any more, and a half-written one will be recognised as such. */
  | { readonly kind: 'open-bank'; readonly bank: number }
  | { readonly kind: 'fill-bank'; readonly bank: number; readonly rows: readonly BankRow[] }
  | { readonly kind: 'set-addresses'; readonly bank: number; readonly map: AddressMapName; readonly digest: string; readonly set: 'live' | 'shadow' }
  | { readonly kind: 'set-names'; readonly bank: number }
  | { readonly kind: 'set-soft-rules'; readonly bank: number }
  | { readonly kind: 'write-bank-state'; readonly bank: number; readonly generation: bigint }
  | { readonly kind: 'swap-programs'; readonly slots: readonly number[] }
  | { readonly kind: 'activate'; readonly generation: bigint; readonly shadow: boolean }
  | { readonly kind: 'detach'; readonly slot: number }
  | { readonly kind: 'attach'; readonly endpoint: EndpointImage; readonly target: AttachmentTarget }
  | { readonly kind: 'remove-services'; readonly keys: readonly string[] }
  | { readonly kind: 'collect'; readonly policies: readonly string[]; readonly addresses: readonly string[] };

function bankOf(generation: bigint): 0 | 1 {
  return (generation & 1n) === 1n ? 1 : 0;
}

function sameRow(observed: ObservedEndpoint | undefined, desired: EndpointImage | undefined): boolean {
  return observed?.key === desired?.key && observed?.policyDigest === desired?.policyDigest && observed?.shadowDigest === desired?.shadowDigest;
}

function changedRows(observed: readonly ObservedEndpoint[], desired: readonly EndpointImage[]): BankRow[] {
  const before = new Map(observed.map((endpoint) => [endpoint.slot, endpoint]));
  const after = new Map(desired.map((endpoint) => [endpoint.slot, endpoint]));
  const changed = [...new Set([...before.keys(), ...after.keys()])].filter((slot) => !sameRow(before.get(slot), after.get(slot)));
  return changed
    .sort((a, b) => a - b)
    .map((slot) => {
      const endpoint = after.get(slot);
      const row = before.get(slot);
      const holds = { live: row?.policyDigest !== undefined, shadow: row?.shadowDigest !== undefined };
      return endpoint ? { slot, endpoint, holds } : { slot, holds };
    });
}

function sameAddresses(bank: Readonly<Record<AddressMapName, string>>, image: PolicySetImage | undefined): boolean {
  return ADDRESS_MAP_NAMES.every((map) => bank[map] === (image?.addresses[map].digest ?? ''));
}

/** The bank in force says already what is desired. */
function inForce(bank: ObservedBank, desired: DesiredBank): boolean {
  return (
    bank.contentDigest === desired.contentDigest &&
    bank.bundleGeneration === desired.bundleGeneration &&
    bank.policyRevision === desired.policyRevision &&
    bank.identityRevision === desired.identityRevision &&
    bank.programDigest === desired.programDigest &&
    bank.namesDigest === desired.image.names.digest &&
    bank.softDigest === desired.image.soft.digest &&
    changedRows(bank.endpoints, desired.image.endpoints).length === 0 &&
    sameAddresses(bank.addressDigests, desired.image.live) &&
    sameAddresses(bank.shadowAddressDigests, desired.image.shadow)
  );
}

function bankActions(observed: ObservedState, desired: DesiredBank): { before: Action[]; activate: Action[]; collect: Action[] } {
  const generation = observed.generation + 1n;
  const bank = bankOf(generation);
  const target = observed.banks[bank];
  const sets = [['live', desired.image.live, target.addressDigests], ['shadow', desired.image.shadow, target.shadowAddressDigests]] as const;
  const before: Action[] = [{ kind: 'open-bank', bank }];
  const keepPolicies = new Set<string>();
  const keepAddresses = new Set<string>();
  for (const [set, image, present] of sets) {
    for (const digest of image?.policies.keys() ?? []) {
      if (!observed.pinnedPolicies.has(digest) && !keepPolicies.has(digest)) before.push({ kind: 'create-policy', digest, set });
      keepPolicies.add(digest);
    }
    for (const map of ADDRESS_MAP_NAMES) {
      const digest = image?.addresses[map].digest;
      if (digest === undefined) continue;
      const pin = `${map}-${digest}`;
      if (!observed.pinnedAddresses.has(pin) && !keepAddresses.has(pin)) before.push({ kind: 'create-addresses', map, digest, set });
      keepAddresses.add(pin);
      if (present[map] !== digest) before.push({ kind: 'set-addresses', bank, map, digest, set });
    }
  }
  const rows = changedRows(target.endpoints, desired.image.endpoints);
  if (rows.length > 0) before.push({ kind: 'fill-bank', bank, rows });
  if (target.namesDigest !== desired.image.names.digest) before.push({ kind: 'set-names', bank });
  if (target.softDigest !== desired.image.soft.digest) before.push({ kind: 'set-soft-rules', bank });
  before.push({ kind: 'write-bank-state', bank, generation });

  const current = observed.banks[bankOf(observed.generation)];
  for (const endpoint of current.endpoints) {
    if (endpoint.policyDigest) keepPolicies.add(endpoint.policyDigest);
    if (endpoint.shadowDigest) keepPolicies.add(endpoint.shadowDigest);
  }
  for (const map of ADDRESS_MAP_NAMES) {
    keepAddresses.add(`${map}-${current.addressDigests[map]}`);
    keepAddresses.add(`${map}-${current.shadowAddressDigests[map]}`);
  }
  const policies = [...observed.pinnedPolicies].filter((digest) => !keepPolicies.has(digest));
  const addresses = [...observed.pinnedAddresses].filter((pin) => !keepAddresses.has(pin));
  return {
    before,
    activate: [{ kind: 'activate', generation, shadow: desired.image.shadow !== undefined }],
    collect: policies.length + addresses.length > 0 ? [{ kind: 'collect', policies, addresses }] : [],
  };
}

function linkActions(observed: ObservedState, desired: DesiredBank): { swap: Action[]; detach: Action[]; attach: Action[] } {
  const wanted = new Map(desired.image.endpoints.map((endpoint) => [endpoint.slot, endpoint]));
  const keys = new Map(observed.banks[bankOf(observed.generation)].endpoints.map((endpoint) => [endpoint.slot, endpoint.key]));
  const swap: number[] = [];
  const detach: Action[] = [];
  const kept = new Set<number>();
  for (const link of observed.links) {
    const endpoint = wanted.get(link.slot);
    const target = desired.targets.get(link.slot);
    const stays = endpoint !== undefined && keys.get(link.slot) === endpoint.key && target !== undefined && link.target === target;
    if (!stays) {
      detach.push({ kind: 'detach', slot: link.slot });
      continue;
    }
    kept.add(link.slot);
    if (!link.currentPrograms) swap.push(link.slot);
  }
  const attach = desired.image.endpoints.flatMap((endpoint): Action[] => {
    const target = desired.targets.get(endpoint.slot);
    return kept.has(endpoint.slot) || target === undefined ? [] : [{ kind: 'attach', endpoint, target }];
  });
  return { swap: swap.length > 0 ? [{ kind: 'swap-programs', slots: swap }] : [], detach, attach };
}

function addServices(rows: readonly (readonly [string, ServiceRow])[]): readonly Action[] {
  return rows.length > 0 ? [{ kind: 'add-services', rows: rows.map(([, row]) => row) }] : [];
}

/**
 * The order is what makes the change safe: everything new lies in the bank that is not in force, programs are replaced
 * in their links, then one write puts the bank in force for every endpoint at once; endpoints come and go around it.
 * An empty plan: the kernel is as desired.
 */
export function plan(observed: ObservedState, desired: DesiredBank): readonly Action[] {
  const wantedServices = new Map(desired.image.services.map((row) => [hex(row.key), row]));
  const changed = [...wantedServices].filter(([key, { value }]) => observed.services.get(key) !== hex(value));
  // What is no longer told of backends may still be asked for by the rules that are in force.
  const isLess = ([key, { value }]: readonly [string, ServiceRow]): boolean => observed.services.has(key) && !tellsBackends(value);
  const oldServices = [...observed.services.keys()].filter((key) => !wantedServices.has(key));
  const links = linkActions(observed, desired);
  const settled = inForce(observed.banks[bankOf(observed.generation)], desired) && observed.shadowOn === (desired.image.shadow !== undefined);
  const bank = settled ? { before: [], activate: [], collect: [] } : bankActions(observed, desired);
  return [
    ...addServices(changed.filter((row) => !isLess(row))),
    ...bank.before,
    ...links.swap,
    ...links.detach,
    ...bank.activate,
    ...links.attach,
    ...addServices(changed.filter(isLess)),
    ...(oldServices.length > 0 ? [{ kind: 'remove-services', keys: oldServices } satisfies Action] : []),
    ...bank.collect,
  ];
}
