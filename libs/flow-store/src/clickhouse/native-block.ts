/**
 * Blocks of ClickHouse's Native format: numbers of columns and rows, then each column's name, type and values in the
 * server's own layout (https://clickhouse.com/docs/interfaces/formats/Native). Little-endian, as every platform we run on.
 */

function varUint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([varUint(bytes.length), bytes]);
}

export interface NativeColumn {
  readonly name: string;
  readonly type: string;
  readonly values: Buffer;
}

export function nativeBlock(rows: number, columns: readonly NativeColumn[]): Buffer {
  return Buffer.concat([varUint(columns.length), varUint(rows), ...columns.flatMap(({ name, type, values }) => [text(name), text(type), values])]);
}

const WIDTHS = { UInt8: 1, UInt16: 2, UInt32: 4, UInt64: 8, UUID: 16 } as const;
export type NativeType = keyof typeof WIDTHS;

const HIGH = 2 ** 32;

/** A column of fixed-width numbers that is filled from the front. */
export class NumberColumn {
  readonly #bytes: Buffer;
  readonly #type: NativeType;
  #at = 0;

  constructor(type: NativeType, rows: number) {
    this.#type = type;
    this.#bytes = Buffer.allocUnsafe(rows * WIDTHS[type]);
  }

  /** Whole numbers below 2^53. */
  number(value: number): void {
    const bytes = this.#bytes;
    switch (this.#type) {
      case 'UInt8': bytes[this.#at] = value; this.#at += 1; break;
      case 'UInt16': this.#at = bytes.writeUInt16LE(value, this.#at); break;
      case 'UInt32': this.#at = bytes.writeUInt32LE(value, this.#at); break;
      default:
        bytes.writeUInt32LE(value % HIGH, this.#at);
        this.#at = bytes.writeUInt32LE(Math.floor(value / HIGH), this.#at + 4);
    }
  }

  /** A value in the server's layout. */
  raw(source: Uint8Array, offset: number, length: number): void {
    this.#bytes.set(source.subarray(offset, offset + length), this.#at);
    this.#at += length;
  }

  values(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }
}

/** A UUID as the server keeps it: two 64-bit halves, each with its least significant byte first. */
export function uuidLayout(uuid: string): Buffer {
  const bytes = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  if (bytes.length !== 16) throw new RangeError(`"${uuid}" is no UUID.`);
  return Buffer.concat([bytes.subarray(0, 8).reverse(), bytes.subarray(8).reverse()]);
}
