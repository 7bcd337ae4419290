import { describe, expect, it } from 'vitest';
import { nativeBlock, NumberColumn, uuidLayout } from './native-block.ts';

describe('Native blocks', () => {
  it('hold names, types and little-endian values', () => {
    const numbers = new NumberColumn('UInt64', 2);
    numbers.number(2 ** 40 + 1);
    numbers.number(7);
    expect(nativeBlock(2, [{ name: 'n', type: 'UInt64', values: numbers.values() }]).toString('hex')).toBe(
      ['0102', '016e', '0655496e743634', '0100000000010000', '0700000000000000'].join(''),
    );
  });

  it('write numbers of rows beyond one byte', () => {
    expect(nativeBlock(300, []).toString('hex')).toBe('00ac02');
  });

  it('lay UUIDs out as two halves', () => {
    expect(uuidLayout('00112233-4455-6677-8899-aabbccddeeff').toString('hex')).toBe('7766554433221100ffeeddccbbaa9988');
    expect(() => uuidLayout('no')).toThrow(RangeError);
  });
});
