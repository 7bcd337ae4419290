import { describe, expect, it } from 'vitest';
import { findLayoutFaults } from './layout.ts';

const faultsOf = (files: Record<string, string>) => findLayoutFaults(new Map(Object.entries(files))).map(({ path }) => path);

describe('the layout check', () => {
  it('names junk rooms once, however much is in them', () => {
    expect(faultsOf({ 'libs/utils/src/a.ts': '', 'libs/utils/src/b.ts': '' })).toEqual(['libs/utils']);
  });

  it('names junk files and names that are not kebab-case', () => {
    expect(faultsOf({ 'libs/flow/src/types.ts': '', 'libs/flow/src/FlowThing.ts': '' })).toHaveLength(2);
  });

  it('names files that are too long, but not generated ones', () => {
    const long = 'x\n'.repeat(401);
    expect(faultsOf({ 'libs/flow/src/long.ts': long, 'libs/protocol/src/generated/long.ts': long })).toEqual(['libs/flow/src/long.ts']);
  });

  it('accepts the house as it is meant', () => {
    expect(faultsOf({ 'bpf/lib/packet.h': '', 'libs/flow/src/flow-record.test.ts': 'x\n', 'docs/adr/0001-x.md': '' })).toEqual([]);
  });
});
