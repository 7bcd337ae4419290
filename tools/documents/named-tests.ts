import ts from 'typescript';

/** A test as a document names it: `path.test.ts › title › title`. */
export interface NamedTest {
  readonly path: string;
  /** From the outside in; none where a file is named alone. */
  readonly titles: readonly string[];
}

const NAMED = /`([^`\s]+\.test\.ts)(?: › ([^`]+))?`/g;
const SKIPS: ReadonlySet<string> = new Set(['skip', 'todo']);

/** All tests that a document names. */
export function namedTests(document: string): readonly NamedTest[] {
  return [...document.matchAll(NAMED)].map(([, path = '', titles]) => ({ path, titles: titles === undefined ? [] : titles.replaceAll(/\s+/g, ' ').split(' › ') }));
}

/** The titles under which a test file runs something: as written, before parameters are put in; nothing that is skipped. */
export function titlesOf(source: string): ReadonlySet<string> {
  const titles = new Set<string>();
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const words = wordsOf(node.expression);
      const [title] = node.arguments;
      if (/^(?:it|test|describe)$/.test(words[0] ?? '')) {
        // What is skipped is skipped with all that is in it.
        if (words.some((word) => SKIPS.has(word))) return;
        if (title !== undefined && ts.isStringLiteralLike(title)) titles.add(title.text);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('a.test.ts', source, ts.ScriptTarget.Latest));
  return titles;
}

/** `it.skip` and `it.each(rows)` are `it` with a word more. */
function wordsOf(callee: ts.Expression): readonly string[] {
  if (ts.isIdentifier(callee)) return [callee.text];
  if (ts.isPropertyAccessExpression(callee)) return [...wordsOf(callee.expression), callee.name.text];
  if (ts.isCallExpression(callee)) return wordsOf(callee.expression);
  if (ts.isTaggedTemplateExpression(callee)) return wordsOf(callee.tag);
  return [];
}
