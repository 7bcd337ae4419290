import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkout } from './command.ts';

/** `path.test.ts › title › title`, as the documents name tests. */
const NAMED = /`([^`\s]+\.test\.ts)(?: › ([^`]+))?`/g;

const documents = readdirSync(join(checkout, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md')).map((name) => join('docs', name));

describe('tests that documents name', () => {
  it.each(documents)('in %s are there', (document) => {
    const text = readFileSync(join(checkout, document), 'utf8');
    const missing = [...text.matchAll(NAMED)].flatMap(([, path = '', titles = '']) => {
      const file = join(checkout, path);
      if (!existsSync(file)) return [path];
      const source = readFileSync(file, 'utf8');
      return titles.split(' › ').map((title) => title.replaceAll(/\s+/g, ' ')).filter((title) => !source.includes(title)).map((title) => `${path} › ${title}`);
    });
    expect(missing).toEqual([]);
  });
  it('are many: the pattern still finds them', () => {
    const named = documents.flatMap((document) => [...readFileSync(join(checkout, document), 'utf8').matchAll(NAMED)]);
    expect(named.length).toBeGreaterThan(50);
  });
});
