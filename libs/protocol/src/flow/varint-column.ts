/**
 * Packed protobuf varints, one per row, straight from and into typed arrays: the hot loop of the flow path.
 * Values are whole numbers below 2^53.
 */

const LOW = 0x1_0000_0000;

/** Room a column needs at most: 5 bytes for 32-bit values, 10 for a 64-bit varint. */
export function packedCapacity(rows: number): number {
  return rows * 10;
}

/** @returns the position after the varint */
export function writeVarint(target: Uint8Array, at: number, value: number): number {
  let position = at;
  let rest = value;
  while (rest >= LOW) {
    target[position++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  rest >>>= 0;
  while (rest > 0x7f) {
    target[position++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  target[position++] = rest;
  return position;
}

/** Packed bytes of a column; undefined where every value is zero (such a column is left out). */
export function packColumn(values: ArrayLike<number>, rows: number, delta: boolean, scratch: Uint8Array): Uint8Array | undefined {
  let position = 0;
  let before = 0;
  let any = false;
  for (let row = 0; row < rows; row++) {
    const value = values[row] ?? 0;
    if (value !== 0) any = true;
    if (delta) {
      const difference = value - before;
      before = value;
      position = writeVarint(scratch, position, difference >= 0 ? difference * 2 : -difference * 2 - 1);
    } else position = writeVarint(scratch, position, value);
  }
  return any ? scratch.slice(0, position) : undefined;
}

/** Values of one column on their way into its array: one element type each keeps the loops below at machine speed. */
let small = new Uint32Array(0);
let large = new Float64Array(0);

function endsEarly(row: number, rows: number): RangeError {
  return new RangeError(`A column ends after ${row} of ${rows} rows.`);
}

const MALFORMED = 'A column holds a malformed varint.';

/** Reads 32-bit values into `small`. @returns the largest */
function unpackSmall(bytes: Uint8Array, rows: number): number {
  if (small.length < rows) small = new Uint32Array(rows);
  const values = small;
  const end = bytes.length;
  let position = 0;
  let largest = 0;
  for (let row = 0; row < rows; row++) {
    if (position >= end) throw endsEarly(row, rows);
    let byte = bytes[position++] ?? 0;
    let value = byte & 0x7f;
    for (let shift = 7; byte > 0x7f; shift += 7) {
      if (position >= end || shift > 28) throw new RangeError(MALFORMED);
      byte = bytes[position++] ?? 0;
      if (shift === 28 && byte > 0x0f) throw new RangeError('A column holds a value over 32 bits.');
      value = (value | ((byte & 0x7f) << shift)) >>> 0;
    }
    if (value > largest) largest = value;
    values[row] = value;
  }
  if (position !== end) throw new RangeError(`A column holds more than ${rows} rows.`);
  return largest;
}

/** Reads values below 2^53 into `large`. @returns the largest */
function unpackLarge(bytes: Uint8Array, rows: number, delta: boolean): number {
  if (large.length < rows) large = new Float64Array(rows);
  const values = large;
  const end = bytes.length;
  let position = 0;
  let largest = 0;
  let before = 0;
  for (let row = 0; row < rows; row++) {
    if (position >= end) throw endsEarly(row, rows);
    let byte = bytes[position++] ?? 0;
    let value = byte & 0x7f;
    for (let scale = 128; byte > 0x7f; scale *= 128) {
      if (position >= end || scale > 2 ** 56) throw new RangeError(MALFORMED);
      byte = bytes[position++] ?? 0;
      value += (byte & 0x7f) * scale;
    }
    if (delta) {
      value = before + (value % 2 === 0 ? value / 2 : -(value + 1) / 2);
      before = value;
    }
    if (!(value >= 0 && value <= Number.MAX_SAFE_INTEGER)) throw new RangeError(`A column holds ${value}, which is outside 0 to 2^53.`);
    if (value > largest) largest = value;
    values[row] = value;
  }
  if (position !== end) throw new RangeError(`A column holds more than ${rows} rows.`);
  return largest;
}

/**
 * Fills `target` from packed bytes.
 * @param limit largest value allowed (inclusive)
 * @returns the largest value
 * @throws RangeError when there are not exactly `rows` varints or one is over the limit
 */
export function unpackColumn(bytes: Uint8Array, target: { set(values: ArrayLike<number>): void }, rows: number, limit: number, delta: boolean): number {
  const wide = delta || limit > 0xffff_ffff;
  const largest = wide ? unpackLarge(bytes, rows, delta) : unpackSmall(bytes, rows);
  if (largest > limit) throw new RangeError(`A column holds ${largest}, which is over ${limit}.`);
  target.set((wide ? large : small).subarray(0, rows));
  return largest;
}
