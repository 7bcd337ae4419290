import type { KernelFlowEvent } from '@palisade/dataplane';

/** Addresses with names that are remembered, the least recently told leave first. */
const MAX_ADDRESSES = 20_000;
const MAX_NAMES = 4;
/** Questions that policy dropped, until their denial is read in the same drain or the next. */
const MAX_REFUSED = 4_096;
/** Connections outlive the answer that led to them; for this long its name still stands on their flows. */
const HOLD_NS = 3_600_000_000_000n;

interface Told {
  readonly names: readonly string[];
  readonly untilNs: bigint;
}

const keyOf = (slot: number, address: string): string => `${slot} ${address}`;
const questionKey = (slot: number, client: string, port: number): string => `${slot} ${client} ${port}`;

/**
 * What workloads asked and were told, by workload: an address has the names that led this workload to it, whatever
 * others call it. It names flows and decides nothing.
 */
export class AskedNames {
  readonly #told = new Map<string, Told>();
  readonly #refused = new Map<string, string>();

  /** @param event one with `dns` */
  learn({ endpointSlot, source, sourcePort, lastSeenNs, dns }: KernelFlowEvent): void {
    if (dns === undefined) return;
    const { name, addresses } = dns.message;
    if (dns.kind === 'refused') {
      remember(this.#refused, questionKey(endpointSlot, source, sourcePort), name, MAX_REFUSED);
      return;
    }
    for (const { address, ttlSeconds } of addresses) {
      const key = keyOf(endpointSlot, address);
      const known = this.#told.get(key);
      const others = known === undefined || known.untilNs < lastSeenNs ? [] : known.names.filter((one) => one !== name);
      remember(this.#told, key, { names: [name, ...others].slice(0, MAX_NAMES), untilNs: lastSeenNs + BigInt(ttlSeconds) * 1_000_000_000n + HOLD_NS }, MAX_ADDRESSES);
    }
  }

  /** The latest first; undefined where the workload was not told the address. */
  of(slot: number, address: string, nowNs: bigint): readonly string[] | undefined {
    const told = this.#told.get(keyOf(slot, address));
    return told === undefined || told.untilNs < nowNs ? undefined : told.names;
  }

  /** The name in the question that was dropped on its way from this port. */
  refused(slot: number, client: string, port: number): string | undefined {
    return this.#refused.get(questionKey(slot, client, port));
  }
}

function remember<V>(map: Map<string, V>, key: string, value: V, limit: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= limit) return;
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}
