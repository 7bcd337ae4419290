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

/**
 * Fills `target` from packed bytes.
 * @param limit largest value allowed (inclusive)
 * @throws RangeError when there are not exactly `rows` varints or one is over the limit
 */
export function unpackColumn(bytes: Uint8Array, target: { [row: number]: number }, rows: number, limit: number, delta: boolean): void {
  let position = 0;
  let before = 0;
  for (let row = 0; row < rows; row++) {
    let byte = bytes[position++];
    if (byte === undefined) throw new RangeError(`A column ends after ${row} of ${rows} rows.`);
    let value = byte & 0x7f;
    let scale = 128;
    while (byte > 0x7f) {
      byte = bytes[position++];
      if (byte === undefined || scale > 2 ** 56) throw new RangeError('A column holds a malformed varint.');
      value += (byte & 0x7f) * scale;
      scale *= 128;
    }
    if (delta) {
      value = before + (value % 2 === 0 ? value / 2 : -(value + 1) / 2);
      before = value;
    }
    if (!(value >= 0 && value <= limit)) throw new RangeError(`A column holds ${value}, which is outside 0 to ${limit}.`);
    target[row] = value;
  }
  if (position !== bytes.length) throw new RangeError(`A column holds more than ${rows} rows.`);
}
