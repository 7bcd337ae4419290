/**
 * Who may hold how many of the gate's connections: a client as many as are still free (Choudhury and Hahne, “Dynamic Queue
 * Length Thresholds”, 1998). One alone gets half, two a third each, and nobody can take what the next one needs.
 */
export class Admission {
  readonly #capacity: number;
  readonly #held = new Map<string, number>();
  #open = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get open(): number {
    return this.#open;
  }

  /** @param client its address @returns whether it may; then `leave` follows when the connection has ended */
  enter(client: string): boolean {
    const held = this.#held.get(client) ?? 0;
    if (held >= this.#capacity - this.#open) return false;
    this.#held.set(client, held + 1);
    this.#open += 1;
    return true;
  }

  leave(client: string): void {
    const held = this.#held.get(client) ?? 0;
    if (held > 1) this.#held.set(client, held - 1);
    else this.#held.delete(client);
    this.#open -= 1;
  }
}
