import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

interface Report {
  readonly ok: boolean;
  readonly error?: string;
  readonly steps: readonly { readonly id: string; readonly ok: boolean; readonly evidence: { readonly error?: string } }[];
}

/** The demo as anybody runs it, on a state folder of this test's own. */
describe('the demo, headless', () => {
  const folder = mkdtempSync(join(tmpdir(), 'palisade-e2e-'));
  let report: Report | undefined;
  let progress = '';

  beforeAll(async () => {
    const program = resolve(import.meta.dirname, '../demo/main.ts');
    await new Promise<void>((done) => {
      execFile(process.execPath, [program, '--json', '--state', join(folder, 'state')], { maxBuffer: 64 << 20, timeout: 280_000 }, (_error, stdout, stderr) => {
        progress = stderr;
        const line = stdout.trimEnd().split('\n').at(-1) ?? '';
        if (line.startsWith('{')) report = JSON.parse(line) as Report;
        done();
      });
    });
  }, 300_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(['observe', 'enforce', 'control-plane-down', 'agent-down', 'rollback'])('%s is as expected', (id) => {
    const step = report?.steps.find((each) => each.id === id);
    expect(step, report?.error ?? progress).toBeDefined();
    expect(step?.evidence.error).toBeUndefined();
    expect(step?.ok).toBe(true);
  });

  it('says that all is well', () => {
    expect(report?.ok, progress).toBe(true);
  });
});
