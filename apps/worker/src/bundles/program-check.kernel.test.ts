import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProgramSet } from '@palisade/control';
import { describe, expect, it } from 'vitest';
import { KernelProgramCheck } from './program-check.ts';
import { readProgramObject } from './program-object.ts';

const object = readFileSync(join(import.meta.dirname, '../../../../bpf/build/endpoint.o'));
const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
const programSet = (bytes: Uint8Array): ProgramSet => ({ imageVersion: 1, minAgent: '0.1.0', kernel: { min: '5.10', features: [], btf: true }, maps: [], byArch: new Map([[arch, [{ name: 'endpoint', type: 'sched_cls', attach: 'tcx', object: bytes }]]]) });

describe('VALIDATING the programs of the datapath', () => {
  it('loads them in this kernel, in a child that pins and leaves nothing', async () => {
    const { problems, note, objects } = await new KernelProgramCheck().check(programSet(object));
    expect(problems).toEqual([]);
    expect(note).toContain('Loaded and verified by kernel');
    expect(objects).toEqual([{ name: 'endpoint', arch, method: 'kernel', programs: readProgramObject(object).programs.length, verifiedInstructions: expect.any(Number) }]);
    expect(objects[0]!.verifiedInstructions).toBeGreaterThan(100);
  });

  it('refuses, with the verifier’s words, programs that the kernel does not take', async () => {
    const broken = Buffer.from(object);
    // The first instruction of every program section becomes a jump far beyond its end.
    for (const at of startsOfPrograms(broken)) Buffer.from([0x05, 0x00, 0xff, 0x7f, 0, 0, 0, 0]).copy(broken, at);
    const { problems, objects } = await new KernelProgramCheck().check(programSet(broken));
    expect(problems).toEqual([expect.stringContaining('The kernel refuses program object endpoint')]);
    expect(problems[0]).toMatch(/jump out of range|out of range insn/);
    expect(objects).toHaveLength(1);
  });
});

function startsOfPrograms(bytes: Buffer): number[] {
  const table = Number(bytes.readBigUInt64LE(40));
  return Array.from({ length: bytes.readUInt16LE(60) }, (_, index) => table + index * 64)
    .filter((at) => bytes.readUInt32LE(at + 4) === 1 && (Number(bytes.readBigUInt64LE(at + 8)) & 4) !== 0 && bytes.readBigUInt64LE(at + 32) > 0n)
    .map((at) => Number(bytes.readBigUInt64LE(at + 24)));
}
