import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalName, compileFqdnSelector } from './fqdn-pattern.ts';

const matches = (value: string, name: string) => compileFqdnSelector({ kind: 'pattern', value })(canonicalName(name));

describe('DNS patterns', () => {
  test.each([
    ['*.example.com', 'www.example.com', true],
    ['*.example.com', 'WWW.Example.COM.', true],
    ['*.example.com', 'example.com', false],
    ['*.example.com', 'a.b.example.com', false],
    ['**.example.com', 'a.b.example.com', true],
    ['**.example.com', 'example.com', false],
    ['****.example.com', 'a.b.example.com', true],
    ['*example.com', 'example.com', true],
    ['*example.com', 'my-example.com', true],
    ['*example.com', 'a.example.com', false],
    ['a**b.com', 'axxb.com', true],
    ['a*b*c.com', 'a1b2b3c.com', true],
    ['a*b*c.com', 'a1b2b3d.com', false],
    ['example.*', 'example.org', true],
    ['example.**', 'example.a.b', false],
    ['*', 'any.name.at.all', true],
    ['**', '.', true],
    ['*.', 'x.y', true],
    ['*.com', 'bad!char.com', false],
    ['exact.name', 'exact.name', true],
    ['exact.name', 'other.name', false],
  ])('%s against %s: %s', (pattern, name, expected) => {
    expect(matches(pattern, name)).toBe(expected);
  });

  test('a name selector is exact, without case and final dot', () => {
    const test = compileFqdnSelector({ kind: 'name', value: 'API.example.com.' });
    expect(test(canonicalName('api.EXAMPLE.com'))).toBe(true);
    expect(test(canonicalName('x.api.example.com'))).toBe(false);
  });

  // The definition in terms of regular expressions; only the linear matcher is used in production.
  test('agree with the regular expressions that define them', () => {
    const label = fc.stringMatching(/^[ab*]{1,5}$/);
    const name = fc.array(fc.stringMatching(/^[ab]{1,5}$/), { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 3 }), name, (labels, given) => {
        const pattern = labels.join('.');
        const deep = /^\*{2,}\./.exec(pattern)?.[0] ?? '';
        const body = pattern.slice(deep.length).replace(/\*+/g, '[-a-z0-9_]*').replaceAll('.', '[.]');
        const source = /^\*+$/.test(pattern) ? '([-a-z0-9_]+[.])*[-a-z0-9_]+' : `${deep === '' ? '' : '([-a-z0-9_]+[.])+'}${body}`;
        expect(matches(pattern, given)).toBe(new RegExp(`^${source}$`).test(given));
      }),
      { seed: 7, numRuns: 2_000 },
    );
  });

  test('take linear time on patterns that make backtracking explode', () => {
    const start = process.cpuUsage();
    expect(matches(`${'*a'.repeat(30)}b.com`, `${'a'.repeat(63)}.com`)).toBe(false);
    expect(process.cpuUsage(start).user / 1_000).toBeLessThan(1_000);
  });
});
