import { describe, expect, test } from 'vitest';
import { formatAddress, formatPrefix, parseAddress, parsePrefix, prefixContains, prefixCovers } from './ip-address.ts';

const formatted = (text: string) => {
  const address = parseAddress(text);
  return address === undefined ? undefined : formatAddress(address);
};
const contains = (network: string, address: string) => {
  const [prefix, parsed] = [parsePrefix(network), parseAddress(address)];
  return prefix !== undefined && parsed !== undefined && prefixContains(prefix, parsed);
};

describe('addresses', () => {
  // RFC 4291 §2.2 forms and RFC 5952 §4 canonical text.
  test.each([
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:DB8:0:0:8:800:200C:417A', '2001:db8::8:800:200c:417a'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['0:0:0:0:0:0:0:1', '::1'],
  ])('%s is %s in canonical text', (given, canonical) => {
    expect(formatted(given)).toBe(canonical);
  });

  test.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.-4',
    ' 1.2.3.4',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    'g::',
    'fe80::1%eth0',
    '::1.2.3.4:5',
    '1:2:3:4:5:6:7::8',
    ':1:2:3:4:5:6:7',
  ])('%j is no address', (given) => {
    expect(parseAddress(given)).toBeUndefined();
  });
});

describe('prefixes', () => {
  test.each([
    ['10.1.2.3/8', '10.0.0.0/8'],
    ['10.1.2.3/32', '10.1.2.3/32'],
    ['10.1.2.3/0', '0.0.0.0/0'],
    ['2001:db8:ffff::1/33', '2001:db8:8000::/33'],
    ['::1/128', '::1/128'],
  ])('%s loses its host bits: %s', (given, canonical) => {
    const prefix = parsePrefix(given);
    expect(prefix === undefined ? undefined : formatPrefix(prefix)).toBe(canonical);
  });

  test.each(['10.0.0.0', '10.0.0.0/', '10.0.0.0/33', '::/129', '10.0.0.0/08', '10.0.0.0/-1', '10.0.0.0/8/8', '/8'])('%j is no prefix', (given) => {
    expect(parsePrefix(given)).toBeUndefined();
  });

  test('contain exactly the addresses that share their bits', () => {
    expect(contains('10.0.0.0/9', '10.127.255.255')).toBe(true);
    expect(contains('10.0.0.0/9', '10.128.0.0')).toBe(false);
    expect(contains('0.0.0.0/0', '255.0.0.1')).toBe(true);
    expect(contains('0.0.0.0/0', '::1')).toBe(false);
    expect(contains('2001:db8::/65', '2001:db8:0:0:7fff::')).toBe(true);
    expect(contains('2001:db8::/65', '2001:db8:0:0:8000::')).toBe(false);
    expect(contains('128.0.0.0/1', '255.255.255.255')).toBe(true);
  });

  test('cover themselves and longer ones inside', () => {
    const [wide, narrow] = [parsePrefix('10.0.0.0/8'), parsePrefix('10.3.0.0/16')];
    if (wide === undefined || narrow === undefined) throw new Error('both are prefixes');
    expect([prefixCovers(wide, narrow), prefixCovers(narrow, wide), prefixCovers(wide, wide)]).toEqual([true, false, true]);
  });
});
