import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readCaseFiles, runConformance } from './run-cases.ts';

// The corpus taken from other projects' expectations lies beside some checkouts and is never part of this repository.
const folder = fileURLToPath(new URL('../../../shared/conformance/open', import.meta.url));
const present = existsSync(folder);

describe.skipIf(!present)(
  present ? 'the shared conformance corpus' : 'the shared conformance corpus (skipped: ../shared/conformance/open is not beside this checkout)',
  () => {
    test('every flow and entry outside contested cases is answered as its project expects', { timeout: 180_000 }, () => {
      const files = readCaseFiles(folder);
      const contested = new Set(
        files
          .flatMap(({ content }) => content.cases ?? [])
          .filter(({ features }) => features.includes('contested'))
          .map(({ id }) => id),
      );
      const report = runConformance(files);
      expect(report.failures.filter((failure) => !contested.has(failure.case))).toEqual([]);
      expect(report.passed).toBeGreaterThan(0);
    });
  },
);
