/** Something that the control plane does not know yet. Interrupts a held check-in. */
export class News {
  #pending = true;
  #interrupt = new AbortController();

  /** Fires at the next `put`. */
  get signal(): AbortSignal {
    return this.#interrupt.signal;
  }

  put(): void {
    this.#pending = true;
    this.#interrupt.abort();
  }

  /** Whether there was news; afterwards there is none. */
  take(): boolean {
    const pending = this.#pending;
    this.#pending = false;
    if (this.#interrupt.signal.aborted) this.#interrupt = new AbortController();
    return pending;
  }
}
