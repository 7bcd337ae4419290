/**
 * `npm run conformance -- DIR [--json]`: runs every case file of a folder, prints the flows that fail, then the count.
 * With `--json` the last line is one JSON object with all results. Exits 1 when something failed, 2 when it could not run.
 */

import { readCaseFiles, runConformance, type CaseFailure } from './run-cases.ts';

function main(args: readonly string[]): number {
  const folders = args.filter((arg) => !arg.startsWith('--'));
  const folder = folders[0];
  if (folder === undefined || folders.length > 1 || args.some((arg) => arg.startsWith('--') && arg !== '--json')) {
    process.stderr.write('Usage: npm run conformance -- DIR [--json]\n');
    return 2;
  }
  const files = readCaseFiles(folder);
  if (files.length === 0) {
    process.stderr.write(`${folder} holds no case files (*.json).\n`);
    return 2;
  }
  const report = runConformance(files);
  for (const failure of report.failures) process.stdout.write(`${line(failure)}\n`);
  process.stdout.write(`${report.passed} passed, ${report.failed} failed\n`);
  if (args.includes('--json')) process.stdout.write(`${JSON.stringify(report)}\n`);
  return report.failed === 0 ? 0 : 1;
}

function line({ case: id, flow, file, title, expected, got, egress, ingress }: CaseFailure): string {
  const sides = egress === undefined ? '' : ` (egress ${egress}, ingress ${ingress ?? '?'})`;
  return `FAIL ${id}#${flow} expected ${expected}, got ${got}${sides} — ${title} [${file}]`;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
