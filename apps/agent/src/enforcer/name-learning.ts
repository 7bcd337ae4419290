import { ENDPOINT, LEARNED_ADDRESS, MAX_DIRECT_IFINDEX, MAX_NAME_SELECTORS, bytesText, mappedAddressIn, type KernelFlowEvent, type KernelPort } from '@palisade/dataplane';
import { canonicalName, compileFqdnSelector } from '@palisade/policy';
import { rowKey, type MapSet } from './map-set.ts';
import { selectorOf } from './name-tables.ts';

const TCP = 6;
/** As in bpf/lib/dns.h. */
const MAX_TTL_SECONDS = 86_400;
const GRACE_NS = 2_000_000_000n;

/**
 * Addresses of DNS names from answers over TCP, which the programs cannot put together: what they saw of an answer to the
 * endpoint's own question to a configured resolver is learned when it is drained. Until then connections to the address stay
 * denied; a client that connects at once gets through with its second SYN. Answers in datagrams are learned by the programs,
 * before they pass on.
 */
export class NameLearning {
  readonly #kernel: KernelPort;
  readonly #maps: MapSet;

  constructor(kernel: KernelPort, maps: MapSet) {
    this.#kernel = kernel;
    this.#maps = maps;
  }

  learn(event: KernelFlowEvent): void {
    const { dns, protocol } = event;
    if (protocol !== TCP || dns?.kind !== 'answer' || dns.message.rcode !== 0 || dns.message.addresses.length === 0) return;
    const network = this.#networkOf(event.ifindex);
    if (network === undefined) return;
    const resolver = mappedAddressIn(network, event.serviceAddress ?? event.destination);
    if (this.#kernel.lookup(this.#maps.map('resolvers'), resolver) === undefined) return;
    const selectors = this.#selectorsOf(dns.message.name);
    if (selectors === 0n) return;
    for (const { address, ttlSeconds } of dns.message.addresses) this.#bind(mappedAddressIn(network, address), selectors, Math.min(ttlSeconds, MAX_TTL_SECONDS));
  }

  #networkOf(ifindex: number): number | undefined {
    const map = ifindex < MAX_DIRECT_IFINDEX ? 'endpoint_by_index' : 'endpoint_by_hash';
    const value = this.#kernel.lookup(this.#maps.map(map), rowKey(ifindex));
    const endpoint = value && ENDPOINT.decode(value);
    return endpoint?.present === 1 ? endpoint.network : undefined;
  }

  /** One bit for each selector of the table that the name matches. */
  #selectorsOf(name: string): bigint {
    const table = this.#maps.map('name_selectors');
    const canonical = canonicalName(name);
    let selectors = 0n;
    for (let bit = 0; bit < MAX_NAME_SELECTORS; bit += 1) {
      const text = bytesText(this.#kernel.lookup(table, rowKey(bit)) ?? new Uint8Array());
      if (text !== '' && compileFqdnSelector(selectorOf(text))(canonical)) selectors |= 1n << BigInt(bit);
    }
    return selectors;
  }

  #bind(address: Uint8Array, selectors: bigint, ttlSeconds: number): void {
    const map = this.#maps.map('learned');
    const now = this.#kernel.monotonicNs();
    const expires = now + BigInt(ttlSeconds) * 1_000_000_000n + GRACE_NS;
    const stored = this.#kernel.lookup(map, address);
    const known = stored && LEARNED_ADDRESS.decode(stored);
    const alive = known !== undefined && known.expires_ns >= now;
    this.#kernel.update(map, address, LEARNED_ADDRESS.encode({
      selectors: selectors | (alive ? known.selectors : 0n),
      expires_ns: alive && known.expires_ns > expires ? known.expires_ns : expires,
    }));
  }
}
