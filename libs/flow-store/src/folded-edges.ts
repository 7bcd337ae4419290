/** 4,096 registers: a standard error of 1.6 % (1.04 / √4096) in 4 KB, however many edges there are. */
const INDEX_BITS = 12;
const REGISTERS = 2 ** INDEX_BITS;
/** Bias of the harmonic mean over so many registers (Flajolet et al., HyperLogLog, 2007, figure 3). */
const ALPHA = 0.7213 / (1 + 1.079 / REGISTERS);
const HASHES = 2 ** 32;

/**
 * What was summed up as `other` because a commit had too many edges: the flows exactly, and about how many distinct edges they
 * had (HyperLogLog, as in the paper). An edge is a tenant, a cluster, two parties and a port. Adding one again changes nothing
 * but the flows.
 */
export class FoldedEdges {
  readonly #registers = new Uint8Array(REGISTERS);
  #rows = 0;

  /** Flows. */
  get rows(): number {
    return this.#rows;
  }

  /** Distinct edges, an estimate. */
  get edges(): number {
    let sum = 0;
    let empty = 0;
    for (const register of this.#registers) {
      sum += 2 ** -register;
      if (register === 0) empty++;
    }
    const estimate = (ALPHA * REGISTERS * REGISTERS) / sum;
    if (estimate <= 2.5 * REGISTERS && empty > 0) return Math.round(REGISTERS * Math.log(REGISTERS / empty));
    // Of so many, some have the same 32 bits.
    return Math.round(estimate <= HASHES / 30 ? estimate : -HASHES * Math.log(1 - Math.min(estimate / HASHES, 0.999)));
  }

  /** A flow whose edge has this hash: 32 bits, evenly spread. */
  add(hash: number): void {
    this.#rows++;
    const index = hash >>> (32 - INDEX_BITS);
    const rank = Math.min(Math.clz32(hash << INDEX_BITS), 32 - INDEX_BITS) + 1;
    if (rank > (this.#registers[index] ?? 0)) this.#registers[index] = rank;
  }

  /** As if everything added to the other one had been added here. */
  merge(other: FoldedEdges): void {
    this.#rows += other.#rows;
    for (const [index, rank] of other.#registers.entries()) if (rank > (this.#registers[index] ?? 0)) this.#registers[index] = rank;
  }
}

/** Takes 32 bits more into a hash (MurmurHash3, x86, 32 bits); `finished` spreads the result. */
export function mixed(hash: number, value: number): number {
  const scrambled = Math.imul(Math.imul(value, 0xcc9e2d51) << 15 | Math.imul(value, 0xcc9e2d51) >>> 17, 0x1b873593);
  const turned = (hash ^ scrambled) << 13 | (hash ^ scrambled) >>> 19;
  return (Math.imul(turned, 5) + 0xe6546b64) | 0;
}

/** Every bit of the result depends on every bit of the hash. @returns 32 bits, not negative */
export function finished(hash: number): number {
  const first = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  const second = Math.imul(first ^ (first >>> 13), 0xc2b2ae35);
  return (second ^ (second >>> 16)) >>> 0;
}

/** @returns to be mixed or finished */
export function textHash(text: string): number {
  let hash = text.length;
  for (let index = 0; index < text.length; index++) hash = mixed(hash, text.charCodeAt(index));
  return hash;
}
