import type { ProgramSet } from '@palisade/control';
import { describe, expect, it } from 'vitest';
import { KernelProgramCheck, type LoadAnswer } from './program-check.ts';
import { kindOfSection } from './program-object.ts';

const OWN = process.arch === 'arm64' ? 'arm64' : 'amd64';
const FOREIGN = OWN === 'arm64' ? 'amd64' : 'arm64';

function programSet(object: Uint8Array, arch: 'amd64' | 'arm64' = OWN): ProgramSet {
  return { imageVersion: 1, minAgent: '0.1.0', kernel: { min: '5.10', features: [], btf: true }, maps: [], byArch: new Map([[arch, [{ name: 'endpoint', type: 'sched_cls', attach: 'tcx', object }]]]) };
}

/** A small object of the ELF form: one program in a section, BTF and a license, each as asked for. */
function elf(parts: { machine?: number; section?: string; btf?: boolean; license?: boolean } = {}): Buffer {
  const named = [
    { name: parts.section ?? 'tc', type: 1, flags: 6, data: Buffer.alloc(16) },
    ...(parts.license === false ? [] : [{ name: 'license', type: 1, flags: 3, data: Buffer.from('GPL\0') }]),
    ...(parts.btf === false ? [] : [{ name: '.BTF', type: 1, flags: 0, data: Buffer.concat([Buffer.from([0x9f, 0xeb, 1, 0]), Buffer.alloc(24)]) }]),
  ];
  const strings = Buffer.from('\0decide\0');
  const symbol = Buffer.alloc(48);
  symbol.writeUInt32LE(1, 24);
  symbol[28] = 0x12; // global function
  symbol.writeUInt16LE(1, 30);
  const sections = [{ name: '', type: 0, flags: 0, data: Buffer.alloc(0) }, ...named, { name: '.symtab', type: 2, flags: 0, data: symbol }, { name: '.strtab', type: 3, flags: 0, data: strings }];
  const names = Buffer.from(`${sections.map(({ name }) => name).join('\0')}\0.shstrtab\0`);
  const all = [...sections, { name: '.shstrtab', type: 3, flags: 0, data: names }];
  const header = Buffer.alloc(64);
  header.write('\x7fELF', 'latin1');
  header[4] = 2;
  header[5] = 1;
  header.writeUInt16LE(parts.machine ?? 247, 18);
  const bodies: Buffer[] = [];
  const table = Buffer.alloc(all.length * 64);
  let at = 64;
  for (const [index, { name, type, flags, data }] of all.entries()) {
    table.writeUInt32LE(names.indexOf(`${name}\0`), index * 64);
    table.writeUInt32LE(type, index * 64 + 4);
    table.writeBigUInt64LE(BigInt(flags), index * 64 + 8);
    table.writeBigUInt64LE(BigInt(at), index * 64 + 24);
    table.writeBigUInt64LE(BigInt(data.length), index * 64 + 32);
    bodies.push(data);
    at += data.length;
  }
  header.writeBigUInt64LE(BigInt(at), 40);
  header.writeUInt16LE(all.length, 60);
  header.writeUInt16LE(all.length - 1, 62);
  return Buffer.concat([header, ...bodies, table]);
}

const LOADED: LoadAnswer = { outcome: 'loaded', verifiedInstructions: 1200, release: '6.1.0' };

describe('the check of program objects', () => {
  it.each([
    ['no ELF file', Buffer.from('object'), 'no 64-bit little-endian ELF'],
    ['of another machine', elf({ machine: 62 }), 'another machine than BPF'],
    ['without BTF', elf({ btf: false }), 'has no BTF'],
    ['without a license', elf({ license: false }), 'names no license'],
    ['without a program that is attached anywhere', elf({ section: 'kprobe/x' }), 'holds no program that an agent attaches'],
    ['cut off', elf().subarray(0, 200), 'outside the file'],
  ])('refuses an object that is %s, without asking the kernel', async (_what, object, problem) => {
    let asked = 0;
    const { problems, objects } = await new KernelProgramCheck(async () => ((asked += 1), LOADED)).check(programSet(object));
    expect(problems).toEqual([expect.stringContaining(problem)]);
    expect(objects).toEqual([]);
    expect(asked).toBe(0);
  });

  it('lets the kernel load what has the right form, once for the same bytes', async () => {
    let asked = 0;
    const check = new KernelProgramCheck(async () => ((asked += 1), LOADED));
    for (let turn = 0; turn < 2; turn += 1) {
      expect(await check.check(programSet(elf()))).toEqual({ problems: [], note: 'Loaded and verified by kernel 6.1.0.', objects: [{ name: 'endpoint', arch: OWN, method: 'kernel', programs: 1, verifiedInstructions: 1200 }] });
    }
    expect(asked).toBe(1);
  });

  it('refuses what the verifier refuses, with the end of its log', async () => {
    const { problems } = await new KernelProgramCheck(async () => ({ outcome: 'refused', message: 'R1 invalid mem access\nprocessed 12 insns' })).check(programSet(elf()));
    expect(problems[0]).toContain('processed 12 insns');
  });

  it('says so where no kernel could be asked', async () => {
    const unable = new KernelProgramCheck(async () => ({ outcome: 'unable', message: 'This needs root.' }));
    expect(await unable.check(programSet(elf()))).toMatchObject({ problems: [], note: 'This needs root.', objects: [{ method: 'static', verifiedInstructions: null }] });
    expect(await new KernelProgramCheck(async () => LOADED).check(programSet(elf(), FOREIGN))).toMatchObject({ problems: [], note: expect.stringContaining(`Objects for ${FOREIGN} are checked by their form`), objects: [{ method: 'static' }] });
  });

  it('knows the sections that agents attach', () => {
    expect(['tc', 'netfilter', 'tp_btf/inet_sock_set_state', 'cgroup/connect4', 'xdp'].map(kindOfSection)).toEqual(['interface', 'netfilter', 'tracepoint', 'cgroup-connect4', undefined]);
  });
});
