/** Reads compiled eBPF objects (ELF-64, little endian; kernel doc: bpf/libbpf/program_types.rst), as far as checking one needs. */

import type { ProgramKind } from '@palisade/dataplane';

export interface ObjectProgram {
  readonly name: string;
  /** Section it is in: says its kind. */
  readonly section: string;
}

export interface ProgramObject {
  readonly programs: readonly ObjectProgram[];
  readonly hasBtf: boolean;
  readonly license: string;
}

interface Section {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly size: number;
}

const EM_BPF = 247;
const ELF_HEADER = 64;
const SECTION_HEADER = 64;
const SYMBOL = 24;
const SHT_SYMTAB = 2;
const SHF_EXECINSTR = 4;
const STT_FUNC = 2;
const STB_GLOBAL = 1;
const BTF_MAGIC = 0xeb9f;
const MAX_SECTIONS = 4096;

/** @throws RangeError, with a sentence, where the bytes are no eBPF object */
export function readProgramObject(bytes: Uint8Array): ProgramObject {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < ELF_HEADER || view.getUint32(0) !== 0x7f454c46 || bytes[4] !== 2 || bytes[5] !== 1) throw new RangeError('it is no 64-bit little-endian ELF file');
  if (view.getUint16(18, true) !== EM_BPF) throw new RangeError('it is an ELF file of another machine than BPF');
  const sections = readSections(view, bytes);
  const license = sections.find((section) => section.name === 'license');
  const btf = sections.find((section) => section.name === '.BTF');
  const programs = sections.filter((section) => section.type === SHT_SYMTAB).flatMap((symbols) => readPrograms(view, bytes, sections, symbols));
  return {
    programs,
    hasBtf: btf !== undefined && btf.size >= 24 && view.getUint16(btf.offset, true) === BTF_MAGIC,
    license: license === undefined ? '' : text(bytes, license.offset, license.size),
  };
}

const CGROUP_SECTIONS: Readonly<Record<string, ProgramKind>> = {
  'cgroup/connect4': 'cgroup-connect4',
  'cgroup/connect6': 'cgroup-connect6',
  'cgroup/sendmsg4': 'cgroup-sendmsg4',
  'cgroup/sendmsg6': 'cgroup-sendmsg6',
  'cgroup_skb/ingress': 'cgroup-ingress',
  'cgroup_skb/egress': 'cgroup-egress',
};

/** The kind that a section name stands for; undefined: none that this version attaches. */
export function kindOfSection(section: string): ProgramKind | undefined {
  if (section === 'tc' || section.startsWith('tcx/') || section === 'classifier') return 'interface';
  if (section === 'netfilter') return 'netfilter';
  if (section.startsWith('tp_btf/')) return 'tracepoint';
  return CGROUP_SECTIONS[section];
}

function readSections(view: DataView, bytes: Uint8Array): readonly Section[] {
  const start = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  const names = view.getUint16(62, true);
  if (count === 0 || count > MAX_SECTIONS || names >= count || start + count * SECTION_HEADER > bytes.byteLength) throw new RangeError('its section table lies outside the file');
  const header = (index: number) => start + index * SECTION_HEADER;
  const namesAt = Number(view.getBigUint64(header(names) + 24, true));
  return Array.from({ length: count }, (_, index) => {
    const at = header(index);
    const section = {
      name: text(bytes, namesAt + view.getUint32(at, true), 256),
      type: view.getUint32(at + 4, true),
      flags: Number(view.getBigUint64(at + 8, true)),
      offset: Number(view.getBigUint64(at + 24, true)),
      size: Number(view.getBigUint64(at + 32, true)),
    };
    if (section.type !== 8 && section.offset + section.size > bytes.byteLength) throw new RangeError(`its section ${section.name} lies outside the file`);
    return section;
  });
}

function readPrograms(view: DataView, bytes: Uint8Array, sections: readonly Section[], symbols: Section): ObjectProgram[] {
  const strings = sections.find((section) => section.name === '.strtab');
  if (strings === undefined) return [];
  const programs: ObjectProgram[] = [];
  for (let at = symbols.offset; at + SYMBOL <= symbols.offset + symbols.size; at += SYMBOL) {
    const info = bytes[at + 4]!;
    const section = sections[view.getUint16(at + 6, true)];
    if ((info & 0xf) !== STT_FUNC || info >> 4 !== STB_GLOBAL || section === undefined || (section.flags & SHF_EXECINSTR) === 0) continue;
    // Functions in .text are called by programs and are none themselves.
    if (section.name !== '.text') programs.push({ name: text(bytes, strings.offset + view.getUint32(at, true), 256), section: section.name });
  }
  return programs;
}

function text(bytes: Uint8Array, from: number, limit: number): string {
  const end = bytes.subarray(from, from + limit).indexOf(0);
  return Buffer.from(bytes.subarray(from, end < 0 ? from + limit : from + end)).toString('latin1');
}
