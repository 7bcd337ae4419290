import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatAddress, parseAddress, parsePrefix, prefixContains } from './ip-address.ts';

const CANONICAL = ['0.0.0.0', '10.1.2.3', '255.255.255.255', '::', '::1', '2001:db8::1', '2001:db8:0:1:1:1:1:1', 'fe80::1:0:0:1', '1:2:3:4:5:6:7:8'];
const OTHER_SPELLINGS: readonly (readonly [string, string])[] = [['2001:DB8:0:0:0:0:0:1', '2001:db8::1'], ['::ffff:10.0.0.1', '::ffff:a00:1'], ['0:0:0:0:0:0:0:0', '::'], ['1:0:0:2:0:0:0:3', '1:0:0:2::3']];
const NONE = ['', '1.2.3', '1.2.3.4.5', '256.0.0.1', '01.2.3.4', '1.2.3.4 ', ':', ':::', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '12345::', 'g::', '1.2.3.4::', '::1.2.3'];

describe('addresses', () => {
  it.each(CANONICAL)('%s is its own canonical form', (text) => expect(formatAddress(parseAddress(text) as Uint8Array)).toBe(text));
  it.each(OTHER_SPELLINGS)('%s is %s', (text, canonical) => expect(formatAddress(parseAddress(text) as Uint8Array)).toBe(canonical));
  it.each(NONE)('"%s" is no address', (text) => expect(parseAddress(text)).toBeUndefined());

  it('survive writing and reading', () => {
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })), (bytes) => {
      expect(parseAddress(formatAddress(bytes))).toEqual(Uint8Array.from(bytes));
    }));
  });
});

describe('prefixes', () => {
  it.each([['10.0.0.0/8', '10.255.0.1', true], ['10.0.0.0/8', '11.0.0.1', false], ['10.0.0.128/25', '10.0.0.127', false], ['0.0.0.0/0', '1.2.3.4', true], ['::/0', '1.2.3.4', false], ['2001:db8::/33', '2001:db8:8000::1', false], ['10.0.0.5', '10.0.0.5', true]])(
    '%s and %s: %s', (prefix, address, inside) => expect(prefixContains(parsePrefix(prefix), parseAddress(address) as Uint8Array)).toBe(inside),
  );
  it.each(['10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/8/8', 'x/8', '10.0.0.0/-1'])('%s is none', (text) => expect(() => parsePrefix(text)).toThrow(expect.objectContaining({ code: 'request.invalid' })));
});
