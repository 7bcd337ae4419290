import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readCaseFiles, runConformance } from './run-cases.ts';

const corpus = readCaseFiles(fileURLToPath(new URL('../../libs/policy/corpus', import.meta.url)));

/** Rules of the semantics document are numbered 1 to 57. */
const RULES = Array.from({ length: 57 }, (_, i) => i + 1);

/** What the corpus expects somewhere for each rule, by its `rule-N` tags. */
function expectationsByRule(): Map<number, Set<string>> {
  const found = new Map<number, Set<string>>();
  const note = (features: readonly string[], expectation: string) => {
    for (const feature of features) {
      const rule = Number(/^rule-(\d+)$/.exec(feature)?.[1]);
      found.set(rule, (found.get(rule) ?? new Set()).add(expectation));
    }
  };
  for (const { content } of corpus) {
    for (const { features, flows } of content.cases ?? []) {
      for (const { expect: expected } of flows) note(features, expected === 'allow' ? 'passes' : 'refuses');
    }
    for (const { features = [] } of content.valid ?? []) note(features, 'passes');
    for (const { features = [] } of content.invalid ?? []) note(features, 'refuses');
  }
  return found;
}

describe("the project's own conformance corpus", () => {
  const report = runConformance(corpus);

  test.each(corpus.map(({ file }) => file))('%s is answered as expected', (file) => {
    expect(report.failures.filter((failure) => failure.file === file)).toEqual([]);
  });

  test('has a verdict for every flow and entry', () => {
    expect(report.passed).toBe(report.results.length);
    expect(report.results.length).toBeGreaterThan(600);
  });

  test.each(RULES)('covers rule %i with something that passes and something that is refused', (rule) => {
    expect([...(expectationsByRule().get(rule) ?? [])].sort()).toEqual(['passes', 'refuses']);
  });
});
