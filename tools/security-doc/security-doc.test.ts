import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const checkout = join(import.meta.dirname, '../..');
const read = (name: string) => readFileSync(join(checkout, name), 'utf8');
const referencesOf = (text: string) => [...text.matchAll(/`([^`]+\.test\.ts) › ([^`]+)`/g)].map(([, file, name]) => [file as string, name as string] as const);
const document = read('docs/security.md');
const faults = read('docs/faults.md');
const references = referencesOf(document);

function expectTest(file: string, name: string): void {
  expect(existsSync(join(checkout, file)), `${file} does not exist`).toBe(true);
  expect(read(file).replaceAll("\\'", "'")).toContain(name);
}

describe('the threat model', () => {
  it('names tests', () => {
    expect(references.length).toBeGreaterThan(30);
  });

  it.each(references)('proves its word with a test that exists: %s › %s', expectTest);

  it('ends every "cannot" with a test or says what holds instead', () => {
    const items = document.split('\nCannot:\n').slice(1).flatMap((section) => (section.split('\n\n')[0] as string).split(/\n(?=- )/));
    const unproven = items.filter((item) => !item.includes('.test.ts ›') && !item.includes('those are signed'));
    expect(unproven).toEqual([]);
  });
});

describe('the table of faults', () => {
  const rows = faults.split('\n').filter((line) => /^\| \d/.test(line));

  it('has all of them, each with a test that `npm run test:faults` runs', () => {
    expect(rows.map((row) => Number(/\d+/.exec(row)?.[0]))).toEqual(Array.from({ length: 24 }, (_, index) => index + 1));
    expect(rows.filter((row) => !referencesOf(row).some(([file]) => file.endsWith('.faults.test.ts')))).toEqual([]);
  });

  it.each(rows.flatMap(referencesOf))('names a test that exists: %s › %s', expectTest);
});
