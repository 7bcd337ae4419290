import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const checkout = join(import.meta.dirname, '../../..');
const buf = join(checkout, 'node_modules/.bin/buf');
const released = join(checkout, 'libs/protocol/released/agent-v1.binpb');
const env = { ...process.env, PATH: `${join(checkout, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}` };
let copy: string;

beforeAll(() => {
  copy = mkdtempSync(join(tmpdir(), 'palisade-contract-'));
  for (const name of ['buf.yaml', 'buf.gen.yaml', 'libs/protocol/proto']) cpSync(join(checkout, name), join(copy, name), { recursive: true });
});
afterAll(() => rmSync(copy, { recursive: true }));

const breaking = () => spawnSync(buf, ['breaking', '--against', released], { cwd: copy, env, encoding: 'utf8' });

describe('the agent contract', () => {
  it('breaks nothing of what was released', () => {
    const { status, stdout, stderr } = breaking();
    expect(stdout + stderr).toBe('');
    expect(status).toBe(0);
  });

  it('is really compared: a field that changes its number is found', () => {
    const file = join(copy, 'libs/protocol/proto/palisade/agent/v1/channel.proto');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replace('string boot_id = 2;', 'string boot_id = 62;'));
    const { status, stdout } = breaking();
    writeFileSync(file, text);
    expect(status).not.toBe(0);
    expect(stdout).toMatch(/boot_id/);
  });

  it('is what the committed TypeScript was generated from', () => {
    execFileSync(buf, ['generate'], { cwd: copy, env, stdio: 'pipe' });
    const generated = 'libs/protocol/src/generated/palisade/agent/v1/channel_pb.ts';
    expect(readFileSync(join(copy, generated), 'utf8')).toBe(readFileSync(join(checkout, generated), 'utf8'));
  });
}, 30_000);
