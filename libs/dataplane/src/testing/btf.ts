/** Reads structures out of a compiled object's BTF (kernel doc: bpf/btf.rst), to compare them with the codecs. */

export interface BtfMember {
  readonly name: string;
  /** Bytes. */
  readonly offset: number;
}

export interface BtfStructure {
  readonly size: number;
  readonly members: readonly BtfMember[];
}

const KIND_STRUCT = 4;
/** Bytes that follow a type record, by kind; `n` is the number of members. */
const TRAILER: Readonly<Record<number, (n: number) => number>> = {
  1: () => 4, // int
  3: () => 12, // array
  4: (n) => 12 * n, // struct
  5: (n) => 12 * n, // union
  6: (n) => 8 * n, // enum
  13: (n) => 8 * n, // function prototype
  14: () => 4, // variable
  15: (n) => 12 * n, // data section
  17: () => 4, // declaration tag
  19: (n) => 12 * n, // enum64
};

function cString(bytes: Uint8Array, at: number): string {
  let text = '';
  for (let index = at; bytes[index] !== undefined && bytes[index] !== 0; index += 1) text += String.fromCharCode(bytes[index] ?? 0);
  return text;
}

/** The section `name` of a 64-bit little-endian ELF object. */
export function elfSection(object: Uint8Array, name: string): Uint8Array {
  const view = new DataView(object.buffer, object.byteOffset, object.length);
  const headers = Number(view.getBigUint64(0x28, true));
  const size = view.getUint16(0x3a, true);
  const count = view.getUint16(0x3c, true);
  const section = (index: number): { name: number; offset: number; size: number } => {
    const at = headers + index * size;
    return { name: view.getUint32(at, true), offset: Number(view.getBigUint64(at + 0x18, true)), size: Number(view.getBigUint64(at + 0x20, true)) };
  };
  const names = section(view.getUint16(0x3e, true));
  for (let index = 0; index < count; index += 1) {
    const found = section(index);
    if (cString(object, names.offset + found.name) === name) return object.subarray(found.offset, found.offset + found.size);
  }
  throw new Error(`the object has no section ${name}`);
}

/** Every named structure of the object. */
export function readStructures(object: Uint8Array): ReadonlyMap<string, BtfStructure> {
  const btf = elfSection(object, '.BTF');
  const view = new DataView(btf.buffer, btf.byteOffset, btf.length);
  const header = view.getUint32(4, true);
  const types = header + view.getUint32(8, true);
  const end = types + view.getUint32(12, true);
  const strings = header + view.getUint32(16, true);
  const structures = new Map<string, BtfStructure>();
  for (let at = types; at < end; ) {
    const name = cString(btf, strings + view.getUint32(at, true));
    const info = view.getUint32(at + 4, true);
    const kind = (info >> 24) & 0x1f;
    const count = info & 0xffff;
    if (kind === KIND_STRUCT && name !== '') {
      const members = Array.from({ length: count }, (_, index) => {
        const member = at + 12 + index * 12;
        return { name: cString(btf, strings + view.getUint32(member, true)), offset: (view.getUint32(member + 8, true) & 0xffffff) / 8 };
      });
      structures.set(name, { size: view.getUint32(at + 8, true), members });
    }
    at += 12 + (TRAILER[kind]?.(count) ?? 0);
  }
  return structures;
}
