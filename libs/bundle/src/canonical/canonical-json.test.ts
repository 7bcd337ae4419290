import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJsonText, type JsonValue } from './canonical-json.ts';
import { parseJson } from './json-reader.ts';
import { tufCanonicalText } from './tuf-canonical-json.ts';

describe('canonical JSON (RFC 8785)', () => {
  it('writes the example of RFC 8785 §3.2.2', () => {
    const value = { numbers: [Number('333333333.33333329'), 1e30 / 1e10 / 1e10, 4.5, 2e-3, 0.000000000000000000000000001], string: '\u20ac$\u000F\u000aA\'\u0042\u0022\u005c\\"/', literals: [null, true, false] };
    expect(canonicalJsonText(value)).toBe('{"literals":[null,true,false],"numbers":[333333333.3333333,10000000000,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}');
  });

  it('sorts members by UTF-16 code units (RFC 8785 §3.2.3)', () => {
    const keys = ['\u20ac', '\r', '\ufb33', '1', '\u{1f600}', '\u0080', '\u00f6'];
    const text = canonicalJsonText(Object.fromEntries(keys.map((key) => [key, 0])));
    expect(Object.keys(JSON.parse(text) as object)).toHaveLength(7);
    expect([...text.matchAll(/"([^"]+)":0/g)].map((match) => JSON.parse(`"${match[1]}"`) as string)).toEqual(['\r', '1', '\u0080', '\u00f6', '\u20ac', '\u{1f600}', '\ufb33']);
  });

  it('is the same for the same value whatever the order, and reads back as it', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        fc.pre(numbersFit(value as JsonValue));
        const text = canonicalJsonText(value as JsonValue);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJsonText(reversed(JSON.parse(text) as JsonValue))).toBe(text);
      }),
    );
  });

  it.each([
    ['NaN', Number.NaN],
    ['an infinity', Number.POSITIVE_INFINITY],
    ['an integer beyond 2^53', 2 ** 53],
    ['a lone surrogate', '\ud800'],
  ])('refuses %s', (_what, value) => {
    expect(() => canonicalJsonText({ value })).toThrow(expect.objectContaining({ code: 'malformed' }));
  });
});

describe('TUF canonical JSON', () => {
  it('escapes only the quotation mark and the backslash', () => {
    expect(tufCanonicalText({ b: 'line\nbreak "quoted" \\', a: [1, true, null] })).toBe('{"a":[1,true,null],"b":"line\nbreak \\"quoted\\" \\\\"}');
  });

  it('refuses fractions', () => {
    expect(() => tufCanonicalText(1.5)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });
});

describe('reading JSON', () => {
  it.each([
    ['too long', Buffer.from('[1,2,3]'), 3, 'too-large'],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 100, 'malformed'],
    ['not JSON', Buffer.from('{a:1}'), 100, 'malformed'],
    ['nested deeper than the cap', Buffer.from('['.repeat(100_000)), 200_000, 'malformed'],
    ['a byte order mark', Buffer.from('\ufeff{}'), 100, 'malformed'],
  ])('refuses what is %s', (_what, bytes, max, code) => {
    expect(() => parseJson(bytes, max, 'it')).toThrow(expect.objectContaining({ code }));
  });

  it('does not count brackets inside strings', () => {
    expect(parseJson(Buffer.from(JSON.stringify(['[['.repeat(200), '\\"[['])), 10_000, 'it')).toHaveLength(2);
  });
});

/** Integers beyond 2^53 are refused, see below. */
function numbersFit(value: JsonValue): boolean {
  if (typeof value === 'number') return !Number.isInteger(value) || Number.isSafeInteger(value);
  return value === null || typeof value !== 'object' || Object.values(value).every((member) => numbersFit(member as JsonValue));
}

function reversed(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return (value as readonly JsonValue[]).map(reversed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).reverse().map(([key, member]) => [key, reversed(member as JsonValue)]));
}
