import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const checkout = join(import.meta.dirname, '../..');
const document = readFileSync(join(checkout, 'docs/security.md'), 'utf8');
const references = [...document.matchAll(/`([^`]+\.test\.ts) › ([^`]+)`/g)].map(([, file, name]) => [file as string, name as string] as const);

describe('the threat model', () => {
  it('names tests', () => {
    expect(references.length).toBeGreaterThan(30);
  });

  it.each(references)('proves its word with a test that exists: %s › %s', (file, name) => {
    expect(existsSync(join(checkout, file)), `${file} does not exist`).toBe(true);
    expect(readFileSync(join(checkout, file), 'utf8').replaceAll("\\'", "'")).toContain(name);
  });

  it('ends every "cannot" with a test or says what holds instead', () => {
    const items = document.split('\nCannot:\n').slice(1).flatMap((section) => (section.split('\n\n')[0] as string).split(/\n(?=- )/));
    const unproven = items.filter((item) => !item.includes('.test.ts ›') && !item.includes('those are signed'));
    expect(unproven).toEqual([]);
  });
});
