import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { namedTests, titlesOf, type NamedTest } from './named-tests.ts';

const checkout = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(checkout, path), 'utf8');
const documents = ['README.md', ...readdirSync(join(checkout, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md')).map((name) => join('docs', name))];

function missing({ path, titles }: NamedTest): readonly string[] {
  if (!existsSync(join(checkout, path))) return [path];
  const there = titlesOf(read(path));
  return titles.filter((title) => !there.has(title)).map((title) => `${path} › ${title}`);
}

describe('tests that documents name', () => {
  it.each(documents)('in %s are there, by their whole titles, and run', (document) => {
    expect(namedTests(read(document)).flatMap(missing)).toEqual([]);
  });

  it('are many: the pattern still finds them', () => {
    expect(documents.flatMap((document) => namedTests(read(document))).length).toBeGreaterThan(100);
  });
});

describe('the name of a test in a document', () => {
  it('is a file and titles from the outside in, in one line or more', () => {
    expect(namedTests('see `a/b.test.ts › one › two\n  words` and `c.pg.test.ts`')).toEqual([{ path: 'a/b.test.ts', titles: ['one', 'two words'] }, { path: 'c.pg.test.ts', titles: [] }]);
  });
});

describe('the titles of a test file', () => {
  it('are those of groups, tests and tables of tests', () => {
    const source = "describe('group', () => { it('one', f); it.each([['it(\"no\")']])('of %s', f); it.runIf(kernel)(`three`, f); test.concurrent('the node’s \\'own\\'', f); });";
    expect([...titlesOf(source)]).toEqual(['group', 'one', 'of %s', 'three', "the node’s 'own'"]);
  });

  it('are not what a comment or another call says, nor what is skipped with all that is in it', () => {
    expect([...titlesOf("// it('one', f)\nnote('two'); it.skip('three', f); it.todo('four'); describe.skip('five', () => { it('six', f); }); it(name, f);")]).toEqual([]);
  });
});
