import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readStructures } from '../testing/btf.ts';
import * as constants from './constants.ts';
import { CONTROL, LAYOUTS, POLICY_KEY } from './layouts.ts';

const root = fileURLToPath(new URL('../../../../bpf/', import.meta.url));
const object = `${root}build/endpoint.o`;
if (!existsSync(object)) console.warn('The comparison with the object is skipped: the programs are not compiled (make -C bpf).');

describe.skipIf(!existsSync(object))('layouts against the BTF of the compiled object', () => {
  const structures = existsSync(object) ? readStructures(readFileSync(object)) : new Map();
  it.each(LAYOUTS.map((layout) => [layout.name, layout] as const))('%s has the members, offsets and size of the C structure', (name, layout) => {
    const compiled = structures.get(name);
    expect(compiled?.members).toEqual(Object.entries(layout.offsets).map(([member, offset]) => ({ name: member, offset })));
    expect(compiled?.size).toBe(layout.size);
  });
});

describe('constants against abi.h', () => {
  const header = ['abi.h', 'abi_flow.h', 'abi_http.h', 'abi_dns.h'].map((name) => readFileSync(`${root}include/${name}`, 'utf8')).join('\n');
  const defined = new Map([...header.matchAll(/^#define (\w+) (0x[0-9a-f]+|\d+)\b/gm)].map(([, name, value]) => [name, Number(value)] as const));
  const numbers = Object.entries(constants).filter(([, value]) => typeof value === 'number');

  it.each(numbers)('%s has the value of the header', (name, value) => expect(defined.get(name)).toBe(value));
  it('names verdicts, directions and event kinds with the numbers of the header', () => {
    for (const [prefix, table] of [['VERDICT', constants.VERDICT_NUMBER], ['DIRECTION', constants.DIRECTION_NUMBER], ['EVENT', constants.EVENT_KIND]] as const) {
      for (const [name, value] of Object.entries(table)) expect([name, defined.get(`${prefix}_${name.toUpperCase()}`)]).toEqual([name, value]);
    }
  });
});

describe('layout', () => {
  it('decodes what it encodes', () => {
    const control = { generation: 2n ** 40n, flags: 5, export_epoch: 1, pickup_until_ns: 7n };
    expect(CONTROL.decode(CONTROL.encode(control))).toEqual(control);
  });
  it('writes little-endian at the given place and leaves missing fields zero', () => {
    const bytes = POLICY_KEY.encode({ peer_class: 0x01020304, scope: 0x90 }, new Uint8Array(16), 8);
    expect([...bytes]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0x90]);
  });
});
