/** What never changes under its name: content named by its digest. */
interface Entry {
  readonly value: Promise<Uint8Array | undefined>;
  bytes: number;
}

/**
 * Content that a whole wave asks for at once: read from the database once, then kept, least recently used first to go.
 * Only what is named by its digest belongs here. What is not there is not remembered.
 */
export class DownloadCache {
  readonly #limitBytes: number;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /** @param limitBytes of all content together; a file larger than a quarter of it is passed through */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @param key must name whoever may read it, for example the tenant, besides the digest */
  get(key: string, read: () => Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    const known = this.#entries.get(key);
    if (known !== undefined) {
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known.value;
    }
    const entry: Entry = { value: read(), bytes: 0 };
    this.#entries.set(key, entry);
    entry.value.then(
      (content) => this.#keep(key, entry, content),
      () => this.#drop(key, entry),
    );
    return entry.value;
  }

  #keep(key: string, entry: Entry, content: Uint8Array | undefined): void {
    if (content === undefined || content.byteLength > this.#limitBytes / 4) return this.#drop(key, entry);
    if (this.#entries.get(key) !== entry) return;
    entry.bytes = content.byteLength;
    this.#bytes += entry.bytes;
    for (const [oldest, least] of this.#entries) {
      if (this.#bytes <= this.#limitBytes) return;
      if (least !== entry && least.bytes > 0) this.#drop(oldest, least);
    }
  }

  #drop(key: string, entry: Entry): void {
    if (this.#entries.get(key) !== entry) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
  }
}
