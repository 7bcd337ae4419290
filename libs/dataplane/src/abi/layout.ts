/** Codecs for C structures: fields in order, natural alignment, little-endian (every supported machine is). */

export type Scalar = 'u8' | 'u16' | 'u32' | 'u64';
/** A scalar, or a fixed array of them: `['u8', 16]`. */
export type FieldType = readonly [Scalar] | readonly [Scalar, number];
export type Fields = Readonly<Record<string, FieldType>>;

type Value<F extends FieldType> = F extends readonly ['u8', number]
  ? Uint8Array
  : F extends readonly ['u64', number]
    ? readonly bigint[]
    : F extends readonly [Scalar, number]
      ? readonly number[]
      : F extends readonly ['u64']
        ? bigint
        : number;
export type RecordOf<F extends Fields> = { readonly [K in keyof F]: Value<F[K]> };

export interface Layout<F extends Fields> {
  /** Name of the structure in bpf/include/abi.h. */
  readonly name: string;
  readonly size: number;
  readonly offsets: { readonly [K in keyof F]: number };
  readonly fields: F;
  /** Missing fields are zero. */
  encode(record: Partial<RecordOf<F>>, into?: Uint8Array, at?: number): Uint8Array;
  decode(bytes: Uint8Array, at?: number): RecordOf<F>;
}

const BYTES: Readonly<Record<Scalar, number>> = { u8: 1, u16: 2, u32: 4, u64: 8 };

function align(offset: number, to: number): number {
  return Math.ceil(offset / to) * to;
}

function writeScalar(view: DataView, at: number, type: Scalar, value: number | bigint): void {
  if (type === 'u64') view.setBigUint64(at, BigInt(value), true);
  else if (type === 'u32') view.setUint32(at, Number(value), true);
  else if (type === 'u16') view.setUint16(at, Number(value), true);
  else view.setUint8(at, Number(value));
}

function readScalar(view: DataView, at: number, type: Scalar): number | bigint {
  if (type === 'u64') return view.getBigUint64(at, true);
  if (type === 'u32') return view.getUint32(at, true);
  return type === 'u16' ? view.getUint16(at, true) : view.getUint8(at);
}

/** Describes the C structure `name` whose members are `fields`, in this order. */
export function layout<const F extends Fields>(name: string, fields: F): Layout<F> {
  const offsets: Record<string, number> = {};
  let size = 0;
  let widest = 1;
  for (const [field, [type, count = 1]] of Object.entries(fields)) {
    offsets[field] = align(size, BYTES[type]);
    size = offsets[field] + BYTES[type] * count;
    widest = Math.max(widest, BYTES[type]);
  }
  size = align(size, widest);

  // Thousands of these are written for one policy: the fields are listed once.
  const members = Object.entries(fields).map(([field, [type, count]]) => ({ field, type, count, offset: offsets[field] ?? 0 }));

  const encode = (record: Partial<RecordOf<F>>, into = new Uint8Array(size), at = 0): Uint8Array => {
    const view = new DataView(into.buffer, into.byteOffset + at, size);
    for (const { field, type, count, offset } of members) {
      const value = record[field] as number | bigint | Uint8Array | readonly (number | bigint)[] | undefined;
      if (value === undefined) continue;
      if (typeof value === 'number' || typeof value === 'bigint') {
        writeScalar(view, offset, type, value);
        continue;
      }
      if (value.length > (count ?? 1)) throw new RangeError(`${name}.${field} holds ${count ?? 1} elements, not ${value.length}`);
      if (type === 'u8') into.set(value as Uint8Array, at + offset);
      else value.forEach((element: number | bigint, index: number) => writeScalar(view, offset + index * BYTES[type], type, element));
    }
    return into;
  };

  const decode = (bytes: Uint8Array, at = 0): RecordOf<F> => {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, size);
    const record: Record<string, unknown> = {};
    for (const { field, type, count, offset } of members) {
      if (count === undefined) record[field] = readScalar(view, offset, type);
      else if (type === 'u8') record[field] = bytes.slice(at + offset, at + offset + count);
      else record[field] = Array.from({ length: count }, (_, index) => readScalar(view, offset + index * BYTES[type], type));
    }
    return record as RecordOf<F>;
  };

  return { name, size, offsets: offsets as { [K in keyof F]: number }, fields, encode, decode };
}
