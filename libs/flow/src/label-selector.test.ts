import { describe, expect, it } from 'vitest';
import { matchesPattern } from './flow-filter.ts';
import { matchesLabels, parseLabelSelector } from './label-selector.ts';

const LABELS = ['k8s:app=web', 'k8s:tier=', 'reserved:world', 'cloud:tag:team=a'];

describe('label selectors', () => {
  it.each([
    ['app=web', true], ['app==web', true], ['k8s:app=web', true], ['any:app=web', true], ['container:app=web', false], ['app!=web', false], ['other!=web', true],
    ['app in (api, web)', true], ['app notin (api)', true], ['app', true], ['!app', false], ['!other', true], ['tier=', true], ['world', true], ['reserved:world', true], ['app=web,!other', true], ['app=web,other', false],
  ])('%s: %s', (text, expected) => expect(matchesLabels(parseLabelSelector(text), LABELS)).toBe(expected));

  it.each(['', ' ', 'app in web', 'a b', 'app=web,', 'app in (a', '=x', 'a=b=c', 'x'.repeat(2000)])('"%s" is none', (text) => expect(() => parseLabelSelector(text)).toThrow(expect.objectContaining({ code: 'request.invalid' })));
});

describe('name patterns', () => {
  it.each([['web', 'web', true], ['web', 'web-1', false], ['web*', 'web-1', true], ['*b*1', 'web-1', true], ['*', '', true], ['a*b*c', 'axxbyyc', true], ['a*b*c', 'axxbyy', false], ['%', 'x', false], ['**', 'x', true]])(
    '%s on %s: %s', (pattern, text, expected) => expect(matchesPattern(pattern, text)).toBe(expected),
  );

  it('take time in proportion, also for hostile ones', () => {
    const startedAt = performance.now();
    expect(matchesPattern(`${'*a'.repeat(100)}b`, 'a'.repeat(20_000))).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});
