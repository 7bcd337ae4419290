import { createHash } from 'node:crypto';
import type { L7RuleSet, PolicyEntry, ResolvedNode } from '@palisade/policy';
import { describe, expect, it } from 'vitest';
import { MAX_ENDPOINTS } from './abi/constants.ts';
import { hex } from './abi/text.ts';
import type { LocalEndpoint } from './local-endpoint.ts';
import { ADDRESS_MAP_NAMES, buildMapImage, policyShape, type AddressMapName, type MapImage } from './map-image.ts';
import { plan, type Action, type DesiredBank, type ObservedBank, type ObservedState } from './plan.ts';

const digest = (...parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

const allow: PolicyEntry = { direction: 'egress', peerClass: 3, protocol: 6, port: 80, portPrefixLength: 16, verdict: 'allow', ruleId: 2 };
const deny: PolicyEntry = { direction: 'egress', peerClass: 0, protocol: 0, port: 0, portPrefixLength: 0, verdict: 'deny', ruleId: 1 };
const wide: PolicyEntry = { ...allow, port: 8192, portPrefixLength: 3 };

function resolved(entries: Readonly<Record<string, readonly PolicyEntry[]>>): ResolvedNode {
  return {
    node: 'n', policyRevision: 1, identityRevision: 1, digest: '', l7Rules: [], rules: {}, fqdn: { selectors: [], classes: [] },
    endpoints: Object.entries(entries).map(([key, list], index) => ({ key, identity: index + 1, entries: list, digest: key })),
    addresses: [{ network: 'default', cidr: '10.0.0.1/32', peerClass: 3, identity: 1000 }, { network: 'default', cidr: '0.0.0.0/0', peerClass: 1, identity: 2 }],
  };
}

function local(key: string, slot: number): LocalEndpoint {
  return { key, slot, network: 'default', addresses: [], attach: { kind: 'interface', ifname: `v${slot}` } };
}

function desired(image: MapImage, more: Partial<DesiredBank> = {}): DesiredBank {
  return {
    contentDigest: 'c1', bundleGeneration: '1.1', policyRevision: 1, identityRevision: 1, programDigest: 'aa', image,
    targets: new Map(image.endpoints.map(({ slot }) => [slot, `interface:${100 + slot}`])), ...more,
  };
}

const NO_ADDRESSES = Object.fromEntries(ADDRESS_MAP_NAMES.map((name) => [name, ''])) as Record<AddressMapName, string>;
const EMPTY_BANK: ObservedBank = {
  contentDigest: '', bundleGeneration: '', policyRevision: 0, identityRevision: 0, programDigest: '', namesDigest: '', softDigest: '',
  addressDigests: NO_ADDRESSES, shadowAddressDigests: NO_ADDRESSES, endpoints: [],
};
const FRESH: ObservedState = {
  generation: 0n, banks: [EMPTY_BANK, EMPTY_BANK], links: [], pinnedPolicies: new Set(), pinnedAddresses: new Set(), services: new Map(), shadowOn: false,
};

/** What the kernel holds after the desired state was applied to it once. */
function applied(before: ObservedState, target: DesiredBank): ObservedState {
  const generation = before.generation + 1n;
  const bank: ObservedBank = {
    ...target,
    addressDigests: Object.fromEntries(ADDRESS_MAP_NAMES.map((name) => [name, target.image.live.addresses[name].digest])) as Record<AddressMapName, string>,
    shadowAddressDigests: NO_ADDRESSES,
    namesDigest: target.image.names.digest,
    softDigest: target.image.soft.digest,
    endpoints: target.image.endpoints,
  };
  return {
    ...before,
    generation,
    banks: (generation & 1n) === 1n ? [before.banks[0], bank] : [bank, before.banks[1]],
    links: target.image.endpoints.map(({ slot }) => ({ slot, target: `interface:${100 + slot}`, currentPrograms: true })),
    pinnedPolicies: new Set([...before.pinnedPolicies, ...target.image.live.policies.keys()]),
    pinnedAddresses: new Set([...before.pinnedAddresses, ...ADDRESS_MAP_NAMES.map((name) => `${name}-${target.image.live.addresses[name].digest}`)]),
    services: new Map(target.image.services.map(({ key, value }) => [hex(key), hex(value)])),
  };
}

const kinds = (actions: readonly Action[]): string[] => actions.map((action) => action.kind);
const image = (entries: Readonly<Record<string, readonly PolicyEntry[]>>, endpoints = [local('a', 1), local('b', 2)]): MapImage =>
  buildMapImage({ resolved: resolved(entries), endpoints }, digest);

describe('plan', () => {
  it('fills the bank that is not in force before it activates, and attaches after', () => {
    const actions = plan(FRESH, desired(image({ a: [allow, deny] })));
    expect(kinds(actions)).toEqual([
      'open-bank', 'create-policy', ...ADDRESS_MAP_NAMES.flatMap(() => ['create-addresses', 'set-addresses']), 'fill-bank', 'write-bank-state', 'activate', 'attach', 'attach',
    ]);
    expect(actions.find((action) => action.kind === 'fill-bank')).toMatchObject({ bank: 1 });
    expect(actions.find((action) => action.kind === 'activate')).toMatchObject({ generation: 1n });
  });

  it('is empty when the kernel is as desired', () => {
    const target = desired(image({ a: [deny] }));
    expect(plan(applied(FRESH, target), target)).toEqual([]);
  });

  it('writes only the rows that the other bank lacks', () => {
    const first = desired(image({ a: [deny], b: [deny] }));
    const second = applied(applied(FRESH, first), { ...first, contentDigest: 'c2' });
    const actions = plan(second, desired(image({ a: [deny], b: [allow, deny] }), { contentDigest: 'c3' }));
    expect(actions.filter((action) => action.kind === 'create-policy')).toHaveLength(1);
    expect(actions.find((action) => action.kind === 'fill-bank')).toMatchObject({ rows: [{ slot: 2 }] });
    expect(kinds(actions)).not.toContain('set-addresses');
  });

  it('replaces programs in their links before the new bank is put in force', () => {
    const target = desired(image({}));
    const state = applied(FRESH, target);
    const old = { ...state, links: state.links.map((link) => ({ ...link, currentPrograms: false })) };
    const actions = plan(old, { ...target, programDigest: 'bb' });
    expect(actions.find((action) => action.kind === 'swap-programs')).toMatchObject({ slots: [1, 2] });
    expect(kinds(actions).indexOf('swap-programs')).toBeLessThan(kinds(actions).indexOf('activate'));
  });

  it('detaches before and attaches after when a slot goes to another endpoint or its interface is a new one', () => {
    const state = applied(FRESH, desired(image({})));
    const moved = kinds(plan(state, desired(image({}, [local('c', 1), local('b', 2)]))));
    expect(moved.indexOf('detach')).toBeLessThan(moved.indexOf('activate'));
    expect(moved.indexOf('activate')).toBeLessThan(moved.indexOf('attach'));
    const reborn = plan(state, desired(image({}), { targets: new Map([[1, 'interface:101'], [2, 'interface:202']]) }));
    expect(reborn).toMatchObject([{ kind: 'detach', slot: 2 }, { kind: 'attach', target: 'interface:202' }]);
  });

  it('never collects what the bank in force uses', () => {
    const first = desired(image({ a: [deny] }));
    const state = applied(FRESH, first);
    const second = desired(image({ a: [allow] }), { contentDigest: 'c2' });
    expect(kinds(plan(state, second))).not.toContain('collect');
    const third = plan(applied(state, second), desired(image({}), { contentDigest: 'c3' }));
    expect(third.find((action) => action.kind === 'collect')).toMatchObject({ policies: [...first.image.live.policies.keys()] });
  });

  it('adds services before and removes them after the switch', () => {
    const resolvedNode = resolved({});
    const services = [{ network: 'default', address: '10.96.0.1', port: 443, protocol: 6 }];
    const withService = desired(buildMapImage({ resolved: resolvedNode, endpoints: [], services }, digest));
    expect(kinds(plan(FRESH, withService))[0]).toBe('add-services');
    const without = desired(buildMapImage({ resolved: resolvedNode, endpoints: [] }, digest));
    expect(kinds(plan(applied(FRESH, withService), without))).toEqual(['remove-services']);
  });

  it('keeps what is known of backends until rules on content are out of force', () => {
    const services = [{ network: 'default', address: '10.96.0.1', port: 80, protocol: 6, backends: [{ address: '10.0.0.1', port: 8080 }] }];
    const http: L7RuleSet[] = [{ mode: 'hard', http: [{ path: '/', ruleId: 1 }] }];
    const withRules = desired(buildMapImage({ resolved: { ...resolved({ a: [allow] }), l7Rules: http }, endpoints: [], services }, digest));
    const without = desired(buildMapImage({ resolved: resolved({ a: [deny] }), endpoints: [], services }, digest), { contentDigest: 'c2' });
    const [there, back] = [plan(applied(FRESH, without), withRules), plan(applied(FRESH, withRules), without)].map(kinds);
    expect(there?.indexOf('add-services')).toBeLessThan(there?.indexOf('activate') ?? 0);
    expect(back?.indexOf('add-services')).toBeGreaterThan(back?.indexOf('activate') ?? 0);
  });
});

describe('map image', () => {
  it('gives endpoints with equal entries one policy', () => {
    const built = image({ a: [deny, allow], b: [deny, allow] });
    expect(built.live.policies.size).toBe(1);
    expect(built.endpoints[0]?.policyDigest).toBe(built.endpoints[1]?.policyDigest);
  });
  it('lists prefix lengths longest first, without the every-protocol entry', () => {
    const shape = policyShape([deny, wide, allow]);
    expect([...shape.subarray(0, 4)]).toEqual([0, 2, 0, 1]);
    expect([...shape.subarray(4 + 18, 4 + 20)]).toEqual([16, 3]);
  });
  it('tells single addresses from prefixes', () => {
    const { addresses } = image({}).live;
    expect([addresses.addresses4.count, addresses.prefixes4.count, addresses.addresses6.count]).toEqual([1, 1, 0]);
  });
  it('refuses a slot twice and slots out of range', () => {
    expect(() => image({}, [local('a', 1), local('b', 1)])).toThrow(expect.objectContaining({ code: 'request.invalid' }));
    expect(() => image({}, [local('a', MAX_ENDPOINTS)])).toThrow(expect.objectContaining({ code: 'request.invalid' }));
  });
});
