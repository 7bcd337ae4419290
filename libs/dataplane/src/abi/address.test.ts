import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAddress, parseAddress, parsePrefix } from './address.ts';
import { bytesText, textBytes } from './text.ts';

describe('addresses', () => {
  it.each(['10.0.0.1', '0.0.0.0', '::', '::1', 'fd00::1:0:0:1', '2001:db8::', '1:2:3:4:5:6:7:8', 'fe80::1'])('keeps %s', (text) => {
    const { bytes, family } = parseAddress(text);
    expect(formatAddress(bytes, family)).toBe(text);
  });
  it.each(['', '10.0.0', '10.0.0.256', '1::2::3', '1:2:3', 'g::1', '10.0.0.1 ', '::1::', '1:2:3:4:5:6:7:8:9', '010.0.0.1', '1.2.3.4::'])('refuses “%s”', (text) => {
    expect(() => parseAddress(text)).toThrow(RangeError);
  });
  it('reads an IPv4 tail', () => expect(formatAddress(parseAddress('::ffff:10.0.0.1').bytes, 6)).toBe('::ffff:a00:1'));
  it('keeps every IPv6 address through text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect(parseAddress(formatAddress(bytes, 6)).bytes).toEqual(bytes);
      }),
    );
  });
  it('clears host bits of a CIDR', () => {
    expect(parsePrefix('10.1.2.3/20')).toEqual({ family: 4, length: 20, bytes: Uint8Array.from([10, 1, 0, 0]) });
    expect(parsePrefix('fd00::ffff/8').bytes).toEqual(parseAddress('fd00::').bytes);
  });
  it.each(['10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/', '10.0.0.0/8a', '::/129'])('refuses the CIDR %s', (text) => {
    expect(() => parsePrefix(text)).toThrow(RangeError);
  });
});

describe('text fields', () => {
  it('keeps text through a zero-padded field', () => {
    const field = new Uint8Array(32);
    field.set(textBytes('pod/shöp/a', 32));
    expect(bytesText(field)).toBe('pod/shöp/a');
  });
  it('refuses text that does not fit', () => expect(() => textBytes('abcd', 3)).toThrow(RangeError));
});
