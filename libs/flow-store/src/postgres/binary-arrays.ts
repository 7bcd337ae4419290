/**
 * One-dimensional arrays without NULL in PostgreSQL's binary form (src/backend/utils/adt/arrayfuncs.c, array_recv): number of
 * dimensions, flag for NULLs, type of the elements, length, lower bound; then each element behind its length. The driver sends
 * a Buffer as a binary parameter, which spares both sides text.
 */
const HEADER = 20;
/** pg_type.oid */
const TYPE = { int2: 21, int4: 23, int8: 20, uuid: 2950 } as const;
const HIGH = 0x1_0000_0000;

function begin(type: keyof typeof TYPE, length: number, elementBytes: number): { bytes: Buffer; view: DataView } {
  const bytes = Buffer.allocUnsafeSlow(HEADER + length * (4 + elementBytes));
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 1);
  view.setInt32(4, 0);
  view.setInt32(8, TYPE[type]);
  view.setInt32(12, length);
  view.setInt32(16, 1);
  return { bytes, view };
}

/** @param value whole numbers of 16 bits by index */
export function int2Array(length: number, value: (index: number) => number): Buffer {
  const { bytes, view } = begin('int2', length, 2);
  for (let index = 0, at = HEADER; index < length; index++, at += 6) {
    view.setInt32(at, 2);
    view.setInt16(at + 4, value(index));
  }
  return bytes;
}

/** @param value whole numbers of 32 bits by index */
export function int4Array(length: number, value: (index: number) => number): Buffer {
  const { bytes, view } = begin('int4', length, 4);
  for (let index = 0, at = HEADER; index < length; index++, at += 8) {
    view.setInt32(at, 4);
    view.setInt32(at + 4, value(index));
  }
  return bytes;
}

/** @param value whole numbers below 2^53, not negative, by index */
export function int8Array(length: number, value: (index: number) => number): Buffer {
  const { bytes, view } = begin('int8', length, 8);
  for (let index = 0, at = HEADER; index < length; index++, at += 12) {
    const number = value(index);
    const high = Math.floor(number / HIGH);
    view.setInt32(at, 8);
    view.setInt32(at + 4, high);
    view.setUint32(at + 8, number - high * HIGH);
  }
  return bytes;
}

/** @param value UUIDs in text form by index */
export function uuidArray(length: number, value: (index: number) => string): Buffer {
  const { bytes, view } = begin('uuid', length, 16);
  const known = new Map<string, Buffer>();
  for (let index = 0, at = HEADER; index < length; index++, at += 20) {
    const text = value(index);
    let uuid = known.get(text);
    if (uuid === undefined) known.set(text, (uuid = Buffer.from(text.replaceAll('-', ''), 'hex')));
    view.setInt32(at, 16);
    bytes.set(uuid, at + 4);
  }
  return bytes;
}
