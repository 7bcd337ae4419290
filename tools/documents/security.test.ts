import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { namedTests } from './named-tests.ts';

const read = (name: string): string => readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8');

describe('the threat model', () => {
  it('ends every "cannot" with a test or says what holds instead', () => {
    const items = read('security.md').split('\nCannot:\n').slice(1).flatMap((section) => (section.split('\n\n')[0] as string).split(/\n(?=- )/));
    expect(items.length).toBeGreaterThan(30);
    const unproven = items.filter((item) => !namedTests(item).some(({ titles }) => titles.length > 0) && !item.includes('those are signed'));
    expect(unproven).toEqual([]);
  });
});

describe('the table of faults', () => {
  const rows = read('faults.md').split('\n').filter((line) => /^\| \d/.test(line));

  it('has all of them, each with a test that `npm run test:faults` runs', () => {
    expect(rows.map((row) => Number(/\d+/.exec(row)?.[0]))).toEqual(Array.from({ length: 24 }, (_, index) => index + 1));
    expect(rows.filter((row) => !namedTests(row).some(({ path, titles }) => path.endsWith('.faults.test.ts') && titles.length > 0))).toEqual([]);
  });
});
