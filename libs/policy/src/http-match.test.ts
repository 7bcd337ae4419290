import { describe, expect, test } from 'vitest';
import { compileHttpMatch, compileWholeMatch } from './http-match.ts';

const request = { method: 'GET', path: '/a?b=c', host: 'shop.example', headers: { 'X-Key': 'yes', accept: '*/*' } };

describe('HTTP rules', () => {
  test.each([
    [{}, true],
    [{ method: 'GET' }, true],
    [{ method: 'get' }, false],
    [{ method: 'GE' }, false],
    [{ path: '/a.*' }, true],
    [{ path: '/a' }, false],
    [{ path: '^/a.*$' }, true],
    [{ host: 'shop[.]example' }, true],
    [{ host: 'example' }, false],
    [{ method: 'GET', path: '/x' }, false],
    [{ headers: [{ name: 'x-key' }] }, true],
    [{ headers: [{ name: 'x-key', value: 'yes' }] }, true],
    [{ headers: [{ name: 'x-key', value: 'no' }] }, false],
    [{ headers: [{ name: 'absent' }] }, false],
    [{ headers: [{ name: 'absent', mismatch: 'ADD' as const }] }, true],
  ])('%j: %s', (rule, expected) => {
    expect(compileHttpMatch(rule)(request)).toBe(expected);
  });

  test('an alternation is anchored as a whole', () => {
    expect(compileWholeMatch('/a|/b')('/ab')).toBe(false);
    expect(compileWholeMatch('/a|/b')('/b')).toBe(true);
  });

  test('a newline in a value cannot cut a match short', () => {
    expect(compileWholeMatch('/a')('/a\n/b')).toBe(false);
  });

  test('matching is linear where backtracking engines hang', () => {
    const start = process.cpuUsage();
    expect(compileWholeMatch('(a|a)*(a|a)*b')('a'.repeat(5_000))).toBe(false);
    expect(process.cpuUsage(start).user / 1_000).toBeLessThan(2_000);
  });
});
