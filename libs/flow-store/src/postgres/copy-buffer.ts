/** PostgreSQL's binary COPY format, written into growing memory (PostgreSQL manual, COPY, "Binary Format"). */
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
/** Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01. */
const POSTGRES_EPOCH_US = 946_684_800_000_000;
const HIGH = 0x1_0000_0000;

/** Numbers must be whole and fit; the caller clamps. */
export class CopyBuffer {
  #bytes = Buffer.allocUnsafe(1 << 20);
  #at = SIGNATURE.length;

  constructor() {
    SIGNATURE.copy(this.#bytes);
  }

  /** Begins a row. `room`: most bytes it can take. */
  row(fields: number, room: number): void {
    if (this.#at + room + 2 > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(this.#bytes.length * 2);
      this.#bytes.copy(larger, 0, 0, this.#at);
      this.#bytes = larger;
    }
    this.#at = this.#bytes.writeInt16BE(fields, this.#at);
  }

  absent(): void {
    this.#at = this.#bytes.writeInt32BE(-1, this.#at);
  }

  int2(value: number): void {
    const bytes = this.#bytes;
    const at = this.#at;
    bytes.writeInt32BE(2, at);
    bytes.writeInt16BE(value, at + 4);
    this.#at = at + 6;
  }

  int4(value: number): void {
    const bytes = this.#bytes;
    const at = this.#at;
    bytes.writeInt32BE(4, at);
    bytes.writeInt32BE(value, at + 4);
    this.#at = at + 8;
  }

  int8(value: number): void {
    const bytes = this.#bytes;
    const at = this.#at;
    const high = Math.floor(value / HIGH);
    bytes.writeInt32BE(8, at);
    bytes.writeInt32BE(high, at + 4);
    bytes.writeUInt32BE(value - high * HIGH, at + 8);
    this.#at = at + 12;
  }

  boolean(value: boolean): void {
    const at = this.#at;
    this.#bytes.writeInt32BE(1, at);
    this.#bytes[at + 4] = value ? 1 : 0;
    this.#at = at + 5;
  }

  /** @param us microseconds since the Unix epoch */
  timestamp(us: number): void {
    this.int8(us - POSTGRES_EPOCH_US);
  }

  raw(value: Uint8Array): void {
    const at = this.#bytes.writeInt32BE(value.length, this.#at);
    this.#bytes.set(value, at);
    this.#at = at + value.length;
  }

  /** Everything so far with the trailer. */
  finish(): Buffer {
    const end = Buffer.allocUnsafe(2);
    end.writeInt16BE(-1);
    return Buffer.concat([this.#bytes.subarray(0, this.#at), end]);
  }
}

/** The 16 bytes of a UUID in text form. */
export function uuidBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}
